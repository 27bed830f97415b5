#!/bin/sh
# Ends what `stopover dev` has started when it is gone without having done so: its end of our standard input closes.
#   run PID:NAME        a process to end
#   remove DIRECTORY    a directory to remove
#   done                nothing is left to do
set -u
trap '' HUP INT TERM
cd /
processes=
directory=
while read -r word rest; do
    case $word in
        run) processes="$processes $rest" ;;
        remove) directory=$rest ;;
        done) exit 0 ;;
    esac
done

# Told by its name as well: the number may be another's by now.
alive() {
    if [ -d /proc/self ]; then
        [ "$(cat "/proc/${1%%:*}/comm" 2>/dev/null)" = "${1#*:}" ]
    else
        kill -0 "${1%%:*}" 2>/dev/null
    fi
}

each() {
    for process in $processes; do
        if alive "$process"; then kill -s "$1" "${process%%:*}" 2>/dev/null; fi
    done
}

any() {
    for process in $processes; do
        if alive "$process"; then return 0; fi
    done
    return 1
}

each TERM
round=0
while any && [ "$round" -lt 100 ]; do
    sleep 0.1
    round=$((round + 1))
done
each KILL
if [ -n "$directory" ]; then rm -rf "$directory"; fi
