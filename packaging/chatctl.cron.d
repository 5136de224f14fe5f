# Deletes what the retention policies do not keep, also where purge_hours in relayd.toml is 0. Says nothing unless something is wrong.
SHELL=/bin/sh
PATH=/usr/local/sbin:/usr/local/bin:/sbin:/bin:/usr/sbin:/usr/bin
17 3 * * * root [ ! -x /usr/bin/chatctl ] || [ ! -S /run/relayd/control.sock ] || chatctl retention purge --cron
