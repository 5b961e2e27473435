#!/bin/sh
# A Slurm of one node on 127.0.0.1, and workflow/prove_on_slurm.py on it: papermill runs as cluster jobs, jobs and controllers are
# killed, and the table comes out as on this machine alone. About 10 minutes on two idle cores.
#
#   sudo sh workflow/slurm_on_loopback.sh [PYTHON]      # PYTHON: of an environment with oreal_lib; default .venv/bin/python
#
# For Debian and Ubuntu, as root, in a container without systemd, too. Installs slurm-wlm and munge by apt if they are missing (they
# stay). Everything else lies in a temporary folder and ends with this script, however that ends; runs/ is not touched.
set -eu

project=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-$project/.venv/bin/python}
[ "$(id -u)" = 0 ] || { echo "error: the daemons start as root only; use sudo sh $0" >&2; exit 2; }
[ -x "$python" ] || { echo "error: $python is not there; run make setup, or name the Python that has oreal_lib" >&2; exit 2; }
PATH="$PATH:/usr/sbin"
if ! { command -v slurmctld && command -v slurmd && command -v munged; } >/dev/null; then
    command -v apt-get >/dev/null || { echo "error: no apt-get; install slurm-wlm and munge yourself" >&2; exit 2; }
    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends slurm-wlm munge >/dev/null
fi

place=$(mktemp -d)
chmod 755 "$place" # munged wants that others cannot write in its folder and can enter it
export SLURM_CONF="$place/slurm.conf"
daemons=
proof=
cleanup() {
    code=$?
    trap - EXIT INT TERM
    [ ! "$proof" ] || { kill "$proof"; wait "$proof"; } 2>/dev/null || true
    timeout 20 scancel --user=root 2>/dev/null || true
    for _ in $(seq 30); do [ "$(timeout 5 squeue --noheader 2>/dev/null)" ] || break; sleep 0.5; done
    for pid in $daemons; do kill "$pid" 2>/dev/null || true; done
    for pid in $daemons; do wait "$pid" 2>/dev/null || true; done
    [ "$code" = 0 ] || tail -n 20 "$place"/*.log 2>/dev/null || true
    if [ "${KEEP:-}" ]; then echo "kept: $place"; else rm -rf "$place"; fi
    exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -m 700 "$place/munge" "$place/state" "$place/spool"
mkdir -m 755 "$place/socket"
head -c 1024 /dev/urandom >"$place/munge/key"
chmod 400 "$place/munge/key"
node=$(hostname -s)
cat >"$SLURM_CONF" <<END
ClusterName=loopback
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
AuthType=auth/munge
AuthInfo=socket=$place/socket/munge
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=sched_interval=5
MinJobAge=3600
KillWait=5
NodeName=$node NodeAddr=127.0.0.1 CPUs=2 RealMemory=100000 State=UNKNOWN
PartitionName=all Nodes=$node Default=YES MaxTime=INFINITE State=UP
END

munged --foreground --key-file="$place/munge/key" --socket="$place/socket/munge" --pid-file="$place/munge/pid" \
    --log-file="$place/munge/munged.log" --seed-file="$place/munge/seed" >"$place/munged.log" 2>&1 &
daemons="$!"
for _ in $(seq 50); do [ -S "$place/socket/munge" ] && break; sleep 0.1; done
slurmctld -D -f "$SLURM_CONF" >"$place/slurmctld.log" 2>&1 &
daemons="$! $daemons"
slurmd -D -N "$node" -f "$SLURM_CONF" >"$place/slurmd.log" 2>&1 &
daemons="$! $daemons"
for _ in $(seq 60); do
    [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
    sleep 0.5
done
sinfo
[ "$(srun --ntasks=1 echo works)" = works ]
echo "Slurm $(sinfo --version | cut -d' ' -f2) works on 127.0.0.1"

# Snakemake's Slurm plugin clears every SLURM_* variable before srun inside a job; the usual /etc/slurm/slurm.conf is left alone here
mkdir "$place/bin"
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" >"$place/bin/srun"
chmod 755 "$place/bin/srun"
PATH="$place/bin:$PATH" OMP_NUM_THREADS=1 "$python" "$project/workflow/prove_on_slurm.py" "$project" "$place/home" &
proof=$!
wait "$proof" # a signal to this script is handled at once, and not when the proof ends
