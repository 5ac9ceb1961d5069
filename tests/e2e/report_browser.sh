#!/bin/sh
# A page of a run as others read it: xmllint takes it for XML, Chromium shows it without a word on its console, its tables can be
# sorted. By hand: `apt-get install chromium libxml2-utils`, then,
#     tests/e2e/report_browser.sh RUN
# where RUN is a run folder, with its name as a path from /. A picture of the page is left in RUN/report.png.
set -eu
run=$1
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
browser=$(command -v chromium)
xmllint --noout "$run/report.html"
show() {
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$out/browser" --host-resolver-rules='MAP * 0.0.0.0' \
        --enable-logging=stderr "$@" "file://$run/report.html"
}
show --dump-dom >"$out/dom" 2>"$out/console"
grep -q '<th scope="col"><button type="button">' "$out/dom" || { echo "the script did not run"; exit 1; }
if grep ':CONSOLE' "$out/console"; then exit 1; fi
show --window-size=1280,5000 --screenshot="$run/report.png" 2>"$out/console"
echo "no error, nothing on the console; $run/report.png"
