/* A program that knows syslog(3) and nothing else. The test compiles it with `-include weir/syslog.h`. */
#include <errno.h>
#include <syslog.h>

int main(void)
{
    openlog("old_daemon", LOG_PID, LOG_DAEMON);
    setlogmask(LOG_UPTO(LOG_INFO));
    errno = ENOENT;
    syslog(LOG_ERR, "cannot open %s: %m", "/etc/daemon.conf");
    syslog(LOG_MAIL | LOG_NOTICE, "using defaults\n");
    syslog(LOG_DEBUG, "masked");
    closelog();
    return 0;
}
