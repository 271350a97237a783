/* short_app.c - a process that lives for three records, like those a script starts by the thousand. usage: short_app ID HOW */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/weir.h>

int main(int argc, char **argv)
{
    weir_error error = {""};
    if (argc != 3 || !weir_start(NULL, &error)) {
        fprintf(stderr, "short_app: %s\n", error.message);
        return 2;
    }
    weir_logger *lg = weir_logger_get("short");
    for (int i = 0; i < 3; i++)
        weir_infof(lg, "#%s.%d#", argv[1], i);
    if (strcmp(argv[2], "kill") == 0)
        kill(getpid(), SIGKILL);
    if (strcmp(argv[2], "_exit") == 0)
        _exit(0);
    weir_result r = weir_stop(20000);
    if (r != WEIR_OK)
        fprintf(stderr, "short_app: weir_stop() says %d\n", (int)r);
    return r != WEIR_OK;
}
