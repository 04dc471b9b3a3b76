#ifndef COMMON_NET_MAILBOX_H
#define COMMON_NET_MAILBOX_H

#include "common/net/loop.h"

/* The only way from one loop (or any other thread) to another: whoever posts a mail gives up what
 * it stands for, whoever runs it owns that from then on. The mail is embedded in what is sent and
 * needs no allocation. Mails of one sender run in the order in which they were posted. No lock: an
 * atomic list; the loop is woken once per batch. */
struct mail {
    struct mail *next;
    void (*run)(
        struct mail *mail); /* On the receiving loop. May free the mail, or post it again. */
};

/* Any thread. The loop must live until the mail has run. mail->run is set; next need not be. */
void mailbox_post(struct loop *loop, struct mail *mail);

#endif
