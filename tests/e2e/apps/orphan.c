/* orphan.c SERVICE COUNT: logs that many records to a collector that is not there, says so, and waits to be killed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <weir/weir.h>

int main(int argc, char **argv)
{
    weir_error error = {""};
    if (argc != 3 || !weir_start(argv[1], &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    weir_logger *lg = weir_logger_get("orders");
    long count = strtol(argv[2], NULL, 10);
    for (long n = 0; n < count; n++)
        weir_infof(lg, "order %06ld accepted", n);
    puts("logged");
    fflush(stdout);
    for (;;)
        pause();
}
