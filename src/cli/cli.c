/* cli.c - see cli.h. */
#include "cli/cli.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/yaml.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

#define CONFIG_MAX (4u << 20)

bool cli_options(const struct command *cmd, const struct option_group *groups, size_t n_groups, int argc,
                 char **argv, int *ret_at, int *ret_exit)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            SCOPED(buf_done) struct buf help = {0};
            options_print_help(groups, n_groups, &help);
            printf("weir %s - %s\n\nUsage: weir %s [OPTIONS]%s%s\n%s%s\n" SV_FMT, cmd->name, cmd->summary, cmd->name,
                   *cmd->args ? " " : "", cmd->args, cmd->details ? "\n" : "", cmd->details ? cmd->details : "",
                   SV_ARG(buf_view(&help)));
            *ret_exit = EXIT_DONE;
            return false;
        }
    struct err e = {0};
    int n_words = 0; /* words that are no options move to the end, in their order */
    for (*ret_at = 1; *ret_at < argc - n_words;) {
        if (!options_parse_args(groups, n_groups, argc - n_words, argv, ret_at, &e)) {
            fprintf(stderr, "weir %s: %s\n", cmd->name, e.msg);
            *ret_exit = EXIT_USAGE;
            return false;
        }
        if (*ret_at >= argc - n_words || strcmp(argv[*ret_at - 1], "--") == 0)
            break;
        char *word = argv[*ret_at];
        memmove(&argv[*ret_at], &argv[*ret_at + 1], (size_t)(argc - *ret_at - 1) * sizeof *argv);
        argv[argc - 1] = word;
        n_words++;
    }
    return true;
}

const char *cli_config_path(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc)
            return argv[i + 1];
        if (strncmp(argv[i], "--config=", 9) == 0)
            return argv[i] + 9;
    }
    return NULL;
}

bool cli_read_config(const char *path, const struct option_group *groups, size_t n_groups, struct err *e)
{
    SCOPED(buf_done) struct buf text = buf_capped(CONFIG_MAX);
    SCOPED(arena_done) struct arena a;
    arena_init(&a, 64u << 20);
    struct yaml *root;
    if (!io_read_file(AT_FDCWD, path, &text, e) || !yaml_parse(buf_view(&text), path, &a, &root, e))
        return false;
    if (root->kind == YAML_NULL)
        return true;
    if (root->kind != YAML_MAP)
        return err_set(e, ERR_INVALID, "%s:%u:%u: expected lines of the form 'name: value'", path, root->line, root->column);
    for (struct yaml *y = root->first; y; y = y->next) {
        if (y->kind != YAML_SCALAR)
            return err_set(e, ERR_INVALID, "%s:%u:%u: '" SV_FMT "' wants a single value", path, y->line, y->column,
                           SV_ARG(y->key));
        if (!options_set_by_name(groups, n_groups, y->key, y->text, e))
            return err_ctx(e, "%s:%u:%u", path, y->key_line, y->key_column);
    }
    return true;
}

int cli_fail(const struct command *cmd, const struct err *e)
{
    fprintf(stderr, "weir %s: %s\n", cmd->name, e->msg);
    return EXIT_FAILED;
}

const char *cli_plain(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
    return text;
}

static void handled_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
}

void cli_problems(const struct command *cmd, struct buf *problems, const struct err *e)
{
    fprintf(stderr, SV_FMT, SV_ARG(buf_view(problems)));
    if (sv_find(buf_view(problems), sv_of(e->msg)) == SV_NPOS)
        cli_fail(cmd, e);
}

void cli_signals_block(void)
{
    sigset_t set;
    handled_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int cli_signals_wait(void)
{
    sigset_t set;
    handled_signals(&set);
    int got = 0;
    while (sigwait(&set, &got) != 0)
        ;
    return got;
}

int64_t cli_stop_by(void)
{
    return clock_mono_ms() + CLI_STOP_MS;
}

int64_t cli_ms_left(int64_t stop_by_ms)
{
    return MAX(stop_by_ms - clock_mono_ms(), (int64_t)0);
}

void cli_announce(const char *name, const char *value)
{
    printf("%s: %s\n", name, value);
    fflush(stdout);
}

void cli_announce_ready(void)
{
    printf("ready\n");
    fflush(stdout);
}
