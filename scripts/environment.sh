# Sourced by the scripts beside it: makes .venv hold what pyproject.toml asks for, once.
#
#   prepare core     what the program needs
#   prepare dev      what the checks and tests need as well, and what draws

root=$(CDPATH='' cd -- "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv

find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11 python; do
        if [ -n "$candidate" ] && "$candidate" -c \
            'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    echo "charlm needs Python 3.11 or newer, with venv; set PYTHON to one" >&2
    return 1
}

# An environment names the folder that it was made in, and works nowhere else.
moved() {
    local made
    made=$(grep '^command = ' "$venv/pyvenv.cfg" 2>/dev/null) && [ "${made%" $venv"}" = "$made" ]
}

prepare() {
    local what=$1 stamp=$venv/.charlm-$1 python
    if ! moved && [ -x "$venv/bin/python" ] && [ -e "$stamp" ] && [ ! "$root/pyproject.toml" -nt "$stamp" ]; then
        return
    fi
    echo "charlm: setting up $venv, once" >&2
    if moved || [ ! -x "$venv/bin/python" ]; then
        python=$(find_python) || return 1
        "$python" -m venv --clear "$venv" || return 1
    fi
    local extra=
    [ "$what" = dev ] && extra='[dev,plot]'
    # Not compiled ahead: most of what is installed is never imported.
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-compile \
        --editable "$root$extra" >&2 || return 1
    touch "$stamp"
}
