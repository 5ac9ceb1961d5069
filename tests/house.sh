#!/bin/bash
# Draws the house in figures: what a reader meets in each part. It gates nothing.
#
#     tests/house.sh [FOLDER..]      (of the source tree; default: lang compiler runtime tests)
#
# functions, their lines (median, 9 of 10, most) and how many have more than 60: by universal-ctags, else left out. tokens: words and signs of
# a line of code. wide: lines with more than 30 of them. asserts: a thousand lines. circles: sources that include each other's headers in a ring,
# each taken with its own header.
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || set -- lang compiler runtime tests
have_ctags=
ctags --version 2>/dev/null | grep -q Universal && have_ctags=1

sources() { find "$1" -name '*.[chly]' | sort; }

# Numbers on stdin, sorted -> median, 90 %, most.
spread() { sort -n | awk '{ v[NR] = $1 } END { if (NR) printf "%d/%d/%d", v[int((NR + 1) / 2)], v[int(0.9 * NR + 0.999)], v[NR]; else printf "-" }'; }

functions() {
    [ "$have_ctags" ] || return
    sources "$1" | grep '\.[ch]$' | ctags -L - -x --c-kinds=f --fields=+ne --_xformat='%{line} %{end}' 2>/dev/null |
        awk '$2 >= $1 { print $2 - $1 + 1 }'
}

# Code without comments: lines, tokens, lines above 30 tokens.
tokens() {
    sources "$1" | xargs -r cat | awk '
        { line = $0; text = ""
          while (line != "") {
              if (inside) { i = index(line, "*/"); if (!i) break; line = substr(line, i + 2); inside = 0; continue }
              i = index(line, "/*"); if (!i) { text = text line; break }
              text = text substr(line, 1, i - 1); line = substr(line, i + 2); inside = 1
          }
          gsub(/"([^"\\]|\\.)*"/, "s", text); n = gsub(/[A-Za-z_0-9]+|[^A-Za-z_0-9 \t]/, "&", text)
          if (n) { lines++; all += n; wide += n > 30 } }
        END { printf "%.1f %d %.2f", lines ? all / lines : 0, wide, lines ? 100 * wide / lines : 0 }'
}

printf '%-18s %6s %8s %8s %6s %-12s %4s %7s %6s %6s %8s\n' room files lines longest funcs 'mid/90%/most' '>60' tokens wide '%' 'asserts'
for top; do
    for room in "$top" $(find "$top" -mindepth 1 -type d | sort); do
        files=$(sources "$room" | wc -l)
        [ "$files" -gt 0 ] || continue
        lines=$(sources "$room" | xargs cat | wc -l)
        longest=$(sources "$room" | xargs wc -l | awk '$2 != "total" && $1 > m { m = $1 } END { print m }')
        asserts=$(sources "$room" | xargs cat | grep -cE '(^|[^a-z_])(static_|_Static_)?assert\(')
        f=$(functions "$room")
        # shellcheck disable=SC2046
        set -- $(tokens "$room")
        printf '%-18s %6d %8d %8d %6s %-12s %4s %7s %6s %6s %8s\n' "$room" "$files" "$lines" "$longest" "$([ "$f" ] && echo "$f" | wc -l || echo -)" \
            "$(echo "$f" | grep . | spread)" "$(echo "$f" | awk '$1 > 60' | wc -l)" "$1" "$2" "$3" \
            "$(awk -v a="$asserts" -v l="$lines" 'BEGIN { printf "%.1f", 1000 * a / l }')"
    done
done

echo
echo "circles:"
# A node is a source with its header; an arrow an include of another's header. Nodes that reach each other are a circle.
grep -rnoE '^#[ ]*include "(lang|compiler|runtime)/[^"]*"' --include='*.[chly]' lang compiler runtime |
    sed -E 's/:[0-9]+:#[ ]*include "/ /; s/"$//' | sed -E 's/\.[chly]( |$)/\1/g' | awk '$1 != $2' | sort -u |
    awk '{ arrow[$1, $2] = 1; node[$1]; node[$2] }
        function reach(from, to, x) {
            if ((from, to) in arrow) return 1
            seen[from] = 1
            for (x in node) if (((from, x) in arrow) && !(x in seen) && reach(x, to)) return 1
            return 0
        }
        END { for (a in node) { split("", seen); if (reach(a, a)) print "  " a } }' | sort
