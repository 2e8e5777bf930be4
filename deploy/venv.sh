# The checkout's own virtual environment: found, or made from requirements.lock. Sourced by what needs it.
# shellcheck shell=bash

checkout=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd)
venv=${BWVISU_VENV:-$checkout/.venv}
export PATH="$venv/bin:$PATH" PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1

# Print the first Python that this project supports and that can make an environment; BWVISU_PYTHON names another one.
find_python() {
    local candidate
    for candidate in ${BWVISU_PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
            2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    return 1
}

make_venv() {
    local base
    if ! base=$(find_python); then
        "$checkout/deploy/packages.sh" python || return
        base=$(find_python) || {
            echo "no Python from 3.11 to 3.13 with its venv module is here; BWVISU_PYTHON may name one" >&2
            return 1
        }
    fi
    if [[ -e $venv && ! -e $venv/pyvenv.cfg ]]; then
        echo "$venv is not a virtual environment and is left alone; BWVISU_VENV may name another place" >&2
        return 1
    fi
    "$base" -m venv --clear "$venv"
}

# Make the environment agree with the lock: at once when it already does, as a stamp inside it tells.
prepare_venv() {
    local wanted made stamp=$venv/.bwvisu-lock
    # Two checks at once would install into the same place.
    exec 8<"$checkout"
    flock 8
    wanted=$(cat "$checkout/requirements.lock" "$checkout/pyproject.toml" | sha256sum)
    if ! "$venv/bin/python" -c '' 2>/dev/null; then
        make_venv || return
    fi
    if [[ $wanted != "$(cat "$stamp" 2>/dev/null)" ]]; then
        echo "installing what requirements.lock names into $venv" >&2
        "$venv/bin/python" -m pip install --quiet --require-hashes -r "$checkout/requirements.lock" || return
        "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e "$checkout" || return
        echo "$wanted" >"$stamp"
        # Made through sudo, it is still for whoever owns the checkout.
        if [[ $EUID -eq 0 ]]; then
            for made in "$venv" "$checkout"/*.egg-info; do  # not every setuptools leaves the second
                if [[ -e $made ]]; then chown -R --reference="$checkout" -- "$made"; fi
            done
        fi
    fi
    exec 8<&-
}
