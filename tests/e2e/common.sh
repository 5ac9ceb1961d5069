# shellcheck shell=sh
# Sourced by the end-to-end tests: a folder to work in, TAP lines, programs. Its own variables begin with tap_.
set -u
here=$top_srcdir/tests/e2e
tools=$top_builddir/tests/e2e
vmoec=$top_builddir/vmoec
make_data=$tools/make_data
work=$(mktemp -d "${TMPDIR:-/tmp}/vmoe-e2e-XXXXXX") || exit 1
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
cd "$work" || exit 1
count=0 failed=0
sanitized=
grep -q '^#define VMOE_SANITIZE 1' "$top_builddir/config.h" && sanitized=1

pass() { count=$((count + 1)); echo "ok $count - $1"; }
fail() { count=$((count + 1)) failed=$((failed + 1)); echo "not ok $count - $1"; }
skip() { count=$((count + 1)); echo "ok $count - $1 # SKIP $2"; }
note() { sed 's/^/#   /' | cut -c1-300 | head -20; }
# Who reads TAP counts the failures; who reads the status sets TAP_STATUS=1.
finish() { echo "1..$count"; exit $((failed > 0 && ${TAP_STATUS:-0})); }

# holds NAME COMMAND...: the command succeeds.
holds() {
    tap_name=$1
    shift
    "$@" >holds.out 2>holds.err </dev/null
    tap_status=$?
    if [ $tap_status = 0 ]; then
        pass "$tap_name"
    else
        fail "$tap_name"
        { echo "$* gave $tap_status"; tail -5 holds.out; tail -15 holds.err; } | note
    fi
}

# ends STATUS PATTERN NAME COMMAND...: the command exits so, and a line of what it prints, kept in `out` and `err`, matches.
ends() {
    tap_wanted=$1
    tap_pattern=$2
    tap_name=$3
    shift 3
    "$@" >out 2>err </dev/null
    tap_status=$?
    if [ "$tap_status" = "$tap_wanted" ] && { cat out err; echo; } | grep -Eq -e "$tap_pattern"; then
        pass "$tap_name"
    else
        fail "$tap_name"
        { echo "$* gave $tap_status; wanted $tap_wanted and /$tap_pattern/"; tail -5 out; tail -15 err; } | note
    fi
}

# program SPEC OUT [flags]: a program, built once for all tests, or give up. One test builds while the others wait.
program() {
    tap_spec=$1
    tap_out=$2
    shift 2
    mkdir -p "$tools/programs"
    tap_kept=$tools/programs/$(basename "$tap_spec" .vmoe)-$(echo "$tap_spec $*" | cksum | cut -d ' ' -f 1)
    (
        flock 9
        if [ -n "$(find "$vmoec" "$top_builddir/runtime/libvrt.a" "$tap_spec" "$top_srcdir/stdlib" -newer "$tap_kept" 2>&1)" ]; then
            "$vmoec" build "$tap_spec" -o "$tap_kept" "$@"
        fi
    ) 9>"$tap_kept.lock" >build.log 2>&1
    cp "$tap_kept" "$tap_out" && return
    note <build.log
    echo "Bail out! $tap_spec does not build"
    exit 1
}

# field FILE KEY: the value of a number or word in a line of JSON.
field() { sed -n "s/.*\"$2\":\"\\{0,1\\}\\([^,\"}]*\\).*/\\1/p" "$1" | tail -1; }

# at_least VALUE LIMIT
at_least() { awk -v a="$1" -v b="$2" 'BEGIN { exit !(a + 0 >= b + 0) }'; }
