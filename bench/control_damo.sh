#!/usr/bin/env bash
# control_damo.sh DAMO: drive udamon with damo, unmodified, from start to stop. Only within a guest, and there as
#     udamon control exec --via idle -- bench/control_damo.sh PATH/TO/damo
# Prints what damo says, and after each step its status and seconds; ends with 0 when every step did.
set -u
damo=$1
cd "$(mktemp -d)" || exit 1
failed=0
step() {
    local begin=$SECONDS
    echo "--- damo $*"
    "$damo" "$@" || { echo "--- status $?"; failed=1; }
    echo "--- $((SECONDS - begin)) s"
}
python3 -c '
area = bytearray(40 << 20)
while True:
    for at in range(0, len(area), 4096):
        area[at] = 1
' &
program=$!
trap 'kill $program' EXIT
slow=(--monitoring_intervals 100ms 2s 10s --monitoring_nr_regions_range 10 50)
step start --target_pid $program --ops vaddr "${slow[@]}"
step report damon
step tune --target_pid $program --ops vaddr --monitoring_intervals 100ms 1s 10s --monitoring_nr_regions_range 10 40
step report access
step record ongoing --timeout 30 --do_record access -o recording
step report access -i recording --style simple-boxes
step stop
[ "$(cat /sys/kernel/mm/damon/admin/kdamonds/0/state)" = off ] || failed=1
exit $failed
