/* `completion SHELL`: from the table, as everything about verbs. */

#include "client/admin/verb.h"

/* The first words of all names, once each. */
static void write_firsts(struct buf *out)
{
    for (size_t i = 0; verb_at(i) != NULL; i++) {
        const char *name = verb_at(i)->name;
        size_t len = strcspn(name, " ");
        bool seen = false;
        for (size_t j = 0; j < i; j++) {
            const char *other = verb_at(j)->name;
            seen = seen ||
                   (strncmp(other, name, len) == 0 && (other[len] == ' ' || other[len] == '\0'));
        }
        if (!seen) {
            buf_append_format(out, "%s%.*s", i == 0 ? "" : " ", (int)len, name);
        }
    }
}

/* Calls visit for each noun once. */
static void each_noun(void (*visit)(const char *noun, struct buf *out), struct buf *out)
{
    const char *before = "";
    for (size_t i = 0; verb_at(i) != NULL; i++) {
        char noun[32];
        const char *name = verb_at(i)->name;
        size_t len = strcspn(name, " ");
        if (name[len] == '\0' || strncmp(before, name, len + 1) == 0) {
            continue;
        }
        before = name;
        snprintf(noun, sizeof noun, "%.*s", (int)len, name);
        visit(noun, out);
    }
}

static void write_verbs_of(const char *noun, struct buf *out)
{
    bool first = true;
    for (size_t i = 0; verb_at(i) != NULL; i++) {
        const char *name = verb_at(i)->name;
        size_t len = strlen(noun);
        if (strncmp(name, noun, len) == 0 && name[len] == ' ') {
            buf_append_format(out, "%s%s", first ? "" : " ", name + len + 1);
            first = false;
        }
    }
}

static void write_bash_case(const char *noun, struct buf *out)
{
    buf_append_format(out, "    %s) words=\"", noun);
    write_verbs_of(noun, out);
    buf_append_text(out, "\" ;;\n");
}

static void write_bash(struct buf *out)
{
    buf_append_text(out,
                    "_sherd_admin() {\n"
                    "  local word=${COMP_WORDS[COMP_CWORD]} first=\"\" second=\"\" words=\"\" i\n"
                    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
                    "    case ${COMP_WORDS[i]} in\n"
                    "      --connect|--timeout) ((i++)) ;;\n"
                    "      -*) ;;\n"
                    "      *) if [ -z \"$first\" ]; then first=${COMP_WORDS[i]};\n"
                    "         elif [ -z \"$second\" ]; then second=${COMP_WORDS[i]}; fi ;;\n"
                    "    esac\n"
                    "  done\n"
                    "  case $first in\n"
                    "    \"\") words=\"");
    write_firsts(out);
    buf_append_text(out, "\" ;;\n");
    each_noun(write_bash_case, out);
    buf_append_text(out,
                    "    completion) words=\"bash zsh fish\" ;;\n"
                    "  esac\n"
                    "  [ -n \"$second\" ] && words=\"\"\n"
                    "  case $word in\n"
                    "    -*) words=$(sherd-admin help $first $second 2>/dev/null |\n"
                    "          sed -n 's/^  \\(--[a-z-]*\\).*/\\1/p') ;;\n"
                    "  esac\n"
                    "  COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
                    "}\n"
                    "complete -F _sherd_admin sherd-admin\n");
}

static void write_fish_noun(const char *noun, struct buf *out)
{
    buf_append_format(out, "complete -c sherd-admin -n '__fish_seen_subcommand_from %s' -a '",
                      noun);
    write_verbs_of(noun, out);
    buf_append_text(out, "'\n");
}

static void write_fish(struct buf *out)
{
    buf_append_text(out,
                    "complete -c sherd-admin -f\n"
                    "complete -c sherd-admin -n __fish_use_subcommand -a '");
    write_firsts(out);
    buf_append_text(out,
                    "'\n"
                    "complete -c sherd-admin -n '__fish_seen_subcommand_from completion' "
                    "-a 'bash zsh fish'\n"
                    "complete -c sherd-admin -l connect -l timeout -x\n"
                    "complete -c sherd-admin -l json\n");
    each_noun(write_fish_noun, out);
}

enum verb_exit verb_run_completion(const struct verb_call *call)
{
    const char *shell = call->operands[0];
    struct buf out;
    buf_init(&out, VERB_TEXT_SIZE_MAX);
    enum verb_exit code = VERB_DONE;
    if (strcmp(shell, "bash") == 0) {
        write_bash(&out);
    } else if (strcmp(shell, "zsh") == 0) {
        buf_append_text(&out, "autoload -U +X bashcompinit && bashcompinit\n");
        write_bash(&out);
    } else if (strcmp(shell, "fish") == 0) {
        write_fish(&out);
    } else {
        fprintf(stderr, "sherd-admin: no completion for '%.32s'; there is bash, zsh and fish\n",
                shell);
        code = VERB_USAGE;
    }
    if (code == VERB_DONE) {
        fwrite(out.data, 1, out.len, stdout);
    }
    buf_deinit(&out);
    return code;
}
