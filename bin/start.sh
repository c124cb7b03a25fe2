#!/usr/bin/env bash
# omsync: starts and stops the daemons of the package that this file lies in.
#
#   bin/start.sh start|stop|restart data_collector|synctool [mon]
#
# Exit status: 0 what was asked for stands, 1 it does not, and the reason was said.
#
# A daemon tells by itself when it serves its port (OMSYNC_READY_FD), so no time is waited for. Pid files: bin/<component>.pid; with mon it holds the
# monitor's pid, and bin/<component>.pid.child the daemon's. What a daemon prints goes to logs/<component>.out, with mon to logs/<component>_mon.log; its
# own log file is where its conf file says, logs/<component>.log as shipped.
set -u

serve_within=${OMSYNC_START_TIMEOUT:-60} # s, from the start until the port is served
stop_within=${OMSYNC_STOP_TIMEOUT:-90}   # s, from SIGTERM to the end; the synctool commits open segments for up to 30
pause_max=60                             # s between two starts by the monitor
keep=$((10 << 20))                       # bytes of a file in logs/ before it is set aside as .old

self=$(readlink -f -- "${BASH_SOURCE[0]}") || exit 1
root=${self%/bin/*}
cd -- "$root" || exit 1

say() { printf '%s\n' "$*"; }

complain() {
	if [ -t 2 ]; then
		printf '\e[1;31m%s\e[0m\n' "$*" >&2
	else
		printf '%s\n' "$*" >&2
	fi
}

fail() {
	complain "$@"
	exit 1
}

usage() {
	cat >&2 <<-'END'
		Usage: start.sh start|stop|restart <component> [mon]
		component: data_collector synctool
		mon: a monitor starts the daemon again whenever it ends; stop ends both, with or without mon
	END
	exit 1
}

# Only digits: OpenMLDB's own monitor leaves NUL bytes in its pid files.
pid_in() {
	[ -f "$1" ] || return 0
	tr -cd '0-9' <"$1"
}

# alive <pid>: whether the process runs. One that has ended and was not waited for (a zombie) does not.
alive() {
	local stat
	[ -n "$1" ] || return 1
	if [ -r /proc/self/stat ]; then
		{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
		stat=${stat##*) }
		case $stat in Z* | X*) return 1 ;; esac
		return 0
	fi
	kill -0 "$1" 2>/dev/null
}

# ours <pid>: whether it is the component, and not another process that got the pid of a dead one.
ours() {
	alive "$1" || return 1
	[ -r "/proc/$1/cmdline" ] || return 0
	tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -q -- "$component"
}

# ended <pid>: waits for the end of a process that need not be a child.
ended() {
	local until=$((SECONDS + stop_within))
	while alive "$1"; do
		[ "$SECONDS" -lt "$until" ] || return 1
		sleep 0.1
	done
}

# One start.sh at a time for a component: two at once would write each other's pid file.
lock() {
	exec 9>"$pidfile.lock" || fail "$component: $root/$pidfile.lock can not be written: run this as the owner of $root"
	command -v flock >/dev/null || return 0
	flock -w "$stop_within" 9 || fail "$component: another start.sh has been at work on it for ${stop_within}s"
}

# why <exit code>
why() {
	case $1 in
	0) say "it ended by itself (exit code 0)" ;;
	2) say "the command line or the conf file is wrong (exit code 2)" ;;
	3) say "the port, or the lock of its directory, is another process's (exit code 3)" ;;
	*)
		if [ "$1" -gt 128 ]; then
			say "ended by signal $(($1 - 128)) ($(kill -l "$1"))"
		else
			say "exit code $1"
		fi
		;;
	esac
}

# become: turns this subshell into the daemon. SIGHUP stays ignored, so that it outlives the terminal.
become() {
	trap '' HUP
	[ -z "$mon" ] || printf '%s\n' "$BASHPID" >"$pidfile.child"
	exec "${command[@]}" </dev/null >>"$out" 2>&1 9>&-
}

note() { printf '%s mon: %s\n' "$(date '+%Y-%m-%dT%H:%M:%S%z')" "$*" >>"$out"; }

# supervise runs the daemon again and again until SIGTERM. The pause grows while the daemon does not live for a minute. The first daemon gets descriptor 3,
# and this process gives it up, so that whoever reads there sees the end of that daemon.
supervise() {
	local pause=1 began code again='' stopping='' daemon='' sleeper=''
	set +m
	trap '' HUP
	trap 'stopping=yes; kill -TERM $daemon $sleeper 2>/dev/null' TERM INT
	note "monitor $BASHPID for $component"
	while [ -z "$stopping" ]; do
		if [ -f "$out" ] && [ "$(wc -c <"$out")" -gt "$keep" ]; then
			mv -f -- "$out" "$out.old"
		fi
		began=$SECONDS
		if [ -z "$again" ]; then
			OMSYNC_READY_FD=3 become &
			daemon=$!
			exec 3>&-
			again=yes
		else
			become &
			daemon=$!
		fi
		note "process $daemon started"
		[ -z "$stopping" ] || kill -TERM "$daemon" 2>/dev/null
		# A signal to this process ends a wait early; the last one gets the daemon's own exit code.
		until wait "$daemon" 2>/dev/null; ! alive "$daemon"; do :; done
		wait "$daemon" 2>/dev/null
		code=$?
		note "process $daemon ended: $(why "$code")"
		daemon=
		[ -z "$stopping" ] || break
		[ $((SECONDS - began)) -lt 60 ] || pause=1
		note "starting again in ${pause}s"
		sleep "$pause" &
		sleeper=$!
		wait "$sleeper" 2>/dev/null
		kill "$sleeper" 2>/dev/null
		sleeper=
		pause=$((pause * 2 < pause_max ? pause * 2 : pause_max))
	done
	note "monitor $BASHPID ends"
}

start() {
	local said tmp from=0 pid line='' got code main child
	main=$(pid_in "$pidfile") child=$(pid_in "$pidfile.child")
	if ours "$main"; then
		say "$component already running as process $main"
		return 0
	fi
	if ours "$child"; then
		say "$component already running as process $child, but its monitor is gone: bin/start.sh restart $component mon brings it back"
		return 0
	fi
	if [ -e "$pidfile" ] || [ -e "$pidfile.child" ]; then
		say "$pidfile is stale (process ${main:-${child:-?}} is no $component): removed"
		rm -f -- "$pidfile" "$pidfile.child"
	fi
	[ -x "bin/$component" ] || fail "Start $component failed: $root/bin/$component is not there, or not executable: unpack the omsync package over $root"
	mkdir -p logs || fail "Start $component failed: $root/logs can not be made: run this as the owner of $root"
	said=$("${command[@]}" --check-config 2>&1)
	code=$?
	if [ "$code" != 0 ]; then
		complain "Start $component failed: $(why "$code")"
		fail "$said"
	fi
	grep '^warning:' <<<"$said"

	if [ -f "$out" ]; then
		from=$(wc -c <"$out")
		if [ "$from" -gt "$keep" ]; then
			mv -f -- "$out" "$out.old"
			from=0
		fi
	fi
	: >>"$out" || fail "Start $component failed: $root/$out can not be written: run this as the owner of $root"
	if ! tmp=$(mktemp -d) || ! mkfifo "$tmp/ready"; then
		fail "Start $component failed: no temporary directory: set TMPDIR"
	fi
	say "Starting $component ..."
	set -m # a process group of its own: Ctrl-C at this terminal is not meant for it
	if [ -n "$mon" ]; then
		supervise 3>"$tmp/ready" 9>&- </dev/null >>"$out" 2>&1 &
	else
		OMSYNC_READY_FD=3 become 3>"$tmp/ready" &
	fi
	pid=$!
	set +m
	exec 4<"$tmp/ready"
	rm -rf -- "$tmp"
	printf '%s\n' "$pid" >"$pidfile"
	while :; do
		IFS= read -r -t "$serve_within" line <&4
		got=$?
		[ "$got" = 0 ] || break
		case $line in
		ready\ *)
			exec 4<&-
			say "Start $component success: process $(pid_in "$pidfile${mon:+.child}") serves ${line#ready }${mon:+, monitored by process $pid}"
			disown "$pid" 2>/dev/null
			return 0
			;;
		esac
		say "$line"
	done
	exec 4<&-
	# The daemon has ended, or is silent; a monitor would try it again, but whoever types this must see that it does not run.
	if [ "$got" -gt 128 ]; then
		complain "Start $component failed: it does not serve after ${serve_within}s"
		kill -TERM "$pid" 2>/dev/null
	elif [ -n "$mon" ]; then
		complain "Start $component failed; it is not monitored"
		kill -TERM "$pid" 2>/dev/null
	fi
	ended "$pid" || complain "process $pid has not ended ${stop_within}s after SIGTERM"
	wait "$pid" 2>/dev/null
	code=$?
	rm -f -- "$pidfile" "$pidfile.child"
	[ -n "$mon" ] || complain "Start $component failed: $(why "$code")"
	complain "$root/$out says:"
	tail -c "+$((from + 1))" -- "$out" | tail -n 20 >&2
	return 1
}

stop() {
	local pid any=''
	for pid in $(pid_in "$pidfile") $(pid_in "$pidfile.child"); do
		ours "$pid" || continue
		[ -n "$any" ] || say "Stopping $component ..."
		any=yes
		kill -TERM "$pid" || fail "Stop $component failed: no signal reaches process $pid: run this as the user it runs as"
		ended "$pid" || fail "Stop $component failed: process $pid runs ${stop_within}s after SIGTERM: look at its log; kill -9 $pid loses nothing, tasks go on from their last commit"
	done
	rm -f -- "$pidfile" "$pidfile.child"
	if [ -z "$any" ]; then
		say "$component is not running"
		return 0
	fi
	say "Stop $component success"
}

if [ $# -lt 2 ] || [ $# -gt 3 ] || [ "${3-mon}" != mon ]; then
	usage
fi
component=$2
mon=${3-}
case $component in
data_collector) command=("$root/bin/data_collector" --flagfile=./conf/data_collector.flags --enable_status_service=true) ;;
synctool) command=("$root/bin/synctool" --conf=./conf/synctool.properties) ;;
tablet | tablet2 | nameserver | apiserver | taskmanager | standalone_tablet | standalone_nameserver | standalone_apiserver)
	# OpenMLDB's own script, which this one replaces, knows these.
	if [ -x bin/start-openmldb.sh ] && ! grep -q '^# omsync: ' bin/start-openmldb.sh; then
		exec bin/start-openmldb.sh "$@"
	fi
	fail "$component is started by OpenMLDB's own start.sh: put the one of your OpenMLDB package at $root/bin/start-openmldb.sh, then this goes on there"
	;;
*)
	complain "No component named $component"
	usage
	;;
esac
pidfile=bin/$component.pid
out=logs/$component.out
[ -z "$mon" ] || out=logs/${component}_mon.log

case $1 in
start | stop | restart) lock ;;
*) usage ;;
esac
case $1 in
start) start ;;
stop) stop ;;
restart) stop && start ;;
esac
