#ifndef TESTS_SUPPORT_FOLDER_H
#define TESTS_SUPPORT_FOLDER_H

/* A folder of a test's own in the working directory. What goes wrong fails the test. Thread: any.
 */

enum { FOLDER_SIZE = 32 };

/* NAME-XXXXXX, with something else for the X; name is of at most 20 bytes. */
void folder_make(char folder[FOLDER_SIZE], const char *name);
/* With everything in it. */
void folder_remove(const char *folder);

#endif
