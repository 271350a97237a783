/* An app that logs through libweir as it is installed: its header, its pkg-config file, the OTEL_* environment. */
#include <stdio.h>
#include <weir/weir.h>

int main(void)
{
    weir_error error = {""};
    if (!weir_start("c_service", &error)) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    weir_logger *lg = weir_logger_get("orders");
    weir_info(lg, "Bug triggered in {url}", weir_str("url", "http://user_service:5001"), weir_i64("retries", 3));
    for (int n = 0; n < 3000; n++) /* more than the queue and a batch hold at once */
        weir_debugf(lg, "order %04d accepted", n);
    return weir_stop(10000) == WEIR_OK ? 0 : 2;
}
