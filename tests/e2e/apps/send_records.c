/* Sends records through libweir as the OTEL_* environment says, and checks that the library counts each as delivered.
 * usage: send_records COUNT [TIMEOUT_MS] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <weir/weir.h>

int main(int argc, char **argv)
{
    weir_error error = {""};
    weir_stats stats = {0};
    long long count = argc > 1 ? strtoll(argv[1], NULL, 10) : 0;
    weir_provider *provider = weir_start("send_records", &error);
    if (!provider) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    weir_logger *lg = weir_logger_get("load");
    for (long long n = 0; n < count; n++)
        weir_info(lg, "record {n}", weir_i64("n", n), weir_f64("half", (double)n / 2), weir_str("text", "gr\xc3\xbc\xc3\x9f" "e \"quoted\""));
    weir_result stopped = weir_stop(argc > 2 ? strtoll(argv[2], NULL, 10) : 30000);
    stats.struct_size = sizeof stats;
    weir_provider_stats(provider, &stats);
    printf("%" PRIu64 " emitted, %" PRIu64 " exported\n", stats.emitted, stats.exported);
    return stopped == WEIR_OK && stats.emitted == (uint64_t)count && stats.exported == stats.emitted ? 0 : 2;
}
