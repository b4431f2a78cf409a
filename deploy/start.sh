#!/bin/sh
# Starts trueup beside an agent, in a container whose only process would be the agent:
#
#   ENTRYPOINT ["/usr/local/bin/start.sh"]
#   CMD ["openclaw", "gateway"]
#
# The container lives as long as the agent does, and ends with the agent's exit code. A signal goes to
# the agent first; when that has ended, trueup is told to end and is waited for, so that what came
# last is written and sent. Whatever becomes of trueup, the agent runs on.
#
# For any POSIX shell. TRUEUP names the program where it is not in PATH. Grant the container the time
# that the agent takes to end, and 15 s for trueup.

# What runs in the background has no standard input unless it is handed over.
exec 3<&0
"${TRUEUP:-trueup}" serve 3<&- &
trueup=$!
"$@" <&3 3<&- &
agent=$!
exec 3<&-

# Processes in the background ignore SIGINT unless they ask for it: SIGTERM tells all of them.
told=no
trap 'told=yes; kill -TERM "$agent" 2>/dev/null' TERM INT HUP
wait "$agent"
code=$?
# A signal ends a wait early. The next one says how the agent ended; 127: that was known already.
while [ "$told" = yes ]; do
    told=no
    wait "$agent"
    again=$?
    [ "$again" -eq 127 ] || code=$again
done

trap '' TERM INT HUP
kill -TERM "$trueup" 2>/dev/null
wait "$trueup"
exit "$code"
