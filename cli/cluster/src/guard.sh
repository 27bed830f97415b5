#!/bin/sh
# Takes a throwaway cluster down when nobody needs it any more, however its users ended.
#   guard.sh DIRECTORY                     one owner: its end of our standard input closes
#   guard.sh DIRECTORY MEETING GRACE       shared: for GRACE seconds nobody holds a lock on DIRECTORY/users
set -u
directory=$1
cd /
trap '' HUP INT TERM

# Every process of the cluster works in the data directory; initdb and a server just starting work above it.
processes() {
    if [ -d /proc/self ]; then
        for process in /proc/[0-9]*; do
            # shellcheck disable=SC3013 # every sh that is found on Linux knows -ef
            if [ "$process/cwd" -ef "$directory/data" ] || [ "$process/cwd" -ef "$directory" ]; then
                echo "${process#/proc/}"
            fi
        done
    else
        postmaster=$(head -n 1 "$directory/data/postmaster.pid" 2>/dev/null)
        if [ -n "$postmaster" ] && kill -0 "$postmaster" 2>/dev/null; then echo "$postmaster"; fi
    fi
}

# SIGQUIT is PostgreSQL's immediate shutdown; what has not ended after five seconds is killed.
stop() {
    round=0
    pids=$(processes)
    while [ -n "$pids" ]; do
        signal=
        if [ "$round" -ge 100 ]; then signal=KILL; elif [ $((round % 20)) -eq 0 ]; then signal=QUIT; fi
        # shellcheck disable=SC2086 # a list of numbers
        if [ -n "$signal" ]; then kill -s "$signal" $pids 2>/dev/null; fi
        sleep 0.05
        round=$((round + 1))
        pids=$(processes)
    done
}

# A server that was killed leaves a shared memory segment, named on the seventh line of its pid file.
remove() {
    if [ -f "$directory/data/postmaster.pid" ]; then
        segment=$(sed -n '7s/^ *[0-9]*  *\([0-9][0-9]*\) *$/\1/p' "$directory/data/postmaster.pid")
        if [ -n "$segment" ]; then ipcrm -m "$segment" 2>/dev/null; fi
    fi
    rm -rf "$directory"
}

wait_for_the_owner() {
    while read -r _; do :; done
}

# Joining takes MEETING/lock before DIRECTORY/users; the last look is taken with both, so nobody slips in between.
wait_for_all_users() {
    meeting=$1
    grace=$2
    idle=0
    exec 8>>"$meeting/lock" 9>>"$directory/users"
    while [ -d "$directory" ]; do
        sleep 1
        if ! flock -n -x 9; then
            idle=0
            continue
        fi
        flock -u 9
        idle=$((idle + 1))
        if [ "$idle" -ge "$grace" ] && flock -n -x 8; then
            if flock -n -x 9; then
                # Unless a successor's address is there, or this cluster never came to leave its own.
                current=$(head -n 1 "$meeting/current" 2>/dev/null)
                if [ "$current" = "$directory" ] || [ ! -d "$current" ]; then rm -rf "$meeting"; fi
                flock -u 8
                return
            fi
            flock -u 8
        fi
    done
}

if [ $# -eq 1 ]; then wait_for_the_owner; else wait_for_all_users "$2" "$3"; fi
while [ -d "$directory" ]; do
    stop
    remove
done
