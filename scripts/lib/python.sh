# The virtual environment .venv, exactly as the lock files say. Sourced from the root of the repository,
# after debian.sh.

venv=.venv

require_environment() {
    local kind=$1 python stamp
    python=$(find_python)
    stamp=$(environment_stamp "$kind" "$python")
    put_old_environment_back # of a replacement that was cut off
    rm -rf .venv.old .venv.new
    if [[ -f $venv/.setup-$kind && $(<"$venv/.setup-$kind") == "$stamp" ]]; then
        return 0
    fi
    echo "setup: bringing $venv to requirements/$kind.txt" >&2
    if [[ ! -f $venv/.setup-origin || $(<"$venv/.setup-origin") != "$(environment_origin "$python")" ]] ||
        [[ $kind == unit ]]; then
        replace_environment "$kind" "$python" "$stamp"
    else
        complete_environment "$kind" "$python" "$stamp"
    fi
}

complete_environment() {
    local kind=$1 python=$2 stamp=$3
    if [[ $kind != unit ]]; then
        # Before anything is installed: an installation that is cut off is no environment of a unit either.
        rm -f "$venv/.setup-unit"
    fi
    rm -f "$venv/.setup-$kind" # until all is there again
    install_requirements "$kind"
    [[ $kind == unit ]] || link_unpacked_programs
    echo "$stamp" >"$venv/.setup-$kind"
    # The packages of `dev` are those of `demo` and more.
    [[ $kind != dev ]] || environment_stamp demo "$python" >"$venv/.setup-demo"
}

link_unpacked_programs() {
    local program
    for program in mosquitto gpsd gpsfake; do
        [[ ! -x $debian_dir/$program ]] || ln -sfn "$PWD/$debian_dir/$program" "$venv/bin/$program"
    done
}

# The new one is made beside the old one and takes its place when it is complete: without a network, or cut off, a unit
# still records with the old one. A power cut between the two renames leaves it under .venv.old; the next set-up puts it
# back.
replace_environment() {
    trap 'put_old_environment_back && rm -rf .venv.new' EXIT
    build_new_environment "$@"
    name_environment_anew
    sync -f .venv.new # what a power cut leaves under the name is whole
    rm -rf .venv.old
    [[ ! -e .venv && ! -L .venv ]] || mv -T .venv .venv.old
    mv -T .venv.new .venv
    trap - EXIT
    rm -rf .venv.old
}

build_new_environment() {
    local venv=.venv.new
    create_environment "$2"
    complete_environment "$@"
}

# A console script names its interpreter by its whole path, and so do pyvenv.cfg and the `activate` scripts.
name_environment_anew() {
    find .venv.new/bin .venv.new/pyvenv.cfg -type f -exec grep -qIF .venv.new {} \; \
        -exec sed -i 's/\.venv\.new/.venv/g' {} +
}

put_old_environment_back() {
    if [[ ! -e .venv && ! -L .venv && -e .venv.old ]]; then
        mv -T .venv.old .venv
    fi
}

# The service's user may not write into the checkout, so byte code that is not made here is made at every start; and
# it sees no home folder (ProtectHome= in deploy/systemd), in which a version manager keeps its interpreters.
prepare_service() {
    local python home_of_root
    python=$(readlink -f "$venv/bin/python")
    home_of_root=$(getent passwd root | cut -d: -f6)
    "$python" -m compileall -q edge_agent
    if [[ $python == "$home_of_root"/* || $python == /home/* ]]; then
        echo "setup: a service cannot run $python, which lies in a home folder; name another one:" >&2
        echo "    PYTHON=/usr/bin/python3 $PWD/scripts/setup unit" >&2
    fi
}

# Prints the first interpreter that is new enough.
find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return 0
        fi
    done
    echo "setup: Python 3.11 or newer is needed; ${PYTHON:-python3} is missing or older" >&2
    echo "setup: name another one: PYTHON=/path/to/python3 $0" >&2
    return 1
}

# An environment cannot follow another interpreter, nor a folder that was moved.
environment_origin() {
    "$1" -VV
    pwd
}

# All that a complete .venv depends on: its origin, the locked packages, how the project declares itself.
environment_stamp() {
    {
        environment_origin "$2"
        cat requirements/build.txt "requirements/$1.txt" pyproject.toml
    } | sha256sum | cut -d' ' -f1
}

create_environment() {
    local python=$1
    rm -rf "$venv"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$venv"
    else
        create_environment_with_borrowed_pip "$python"
    fi
    environment_origin "$python" >"$venv/.setup-origin"
}

# Debian keeps pip out of python3: where python3-venv is not installed, Debian's pip is used as it lies.
create_environment_with_borrowed_pip() {
    local python=$1 wheel
    if ! may_use_apt || ! unpack_debian_package python3-pip-whl; then
        echo "setup: Python's venv module is incomplete; install it: sudo apt-get install python3-venv" >&2
        exit 1
    fi
    "$python" -m venv --without-pip "$venv"
    wheel=$(echo "$debian_dir"/files/usr/share/python-wheels/pip-*.whl)
    "$venv/bin/python" "$wheel/pip" install --quiet --no-index --no-deps "$wheel"
}

install_requirements() {
    local pip=("$venv/bin/python" -m pip --quiet --quiet --no-input --disable-pip-version-check)
    # Build backends first, so that nothing that is built fetches an unlocked one.
    "${pip[@]}" install --no-deps --require-hashes --only-binary :all: --requirement requirements/build.txt
    "${pip[@]}" install --no-deps --require-hashes --no-build-isolation --requirement "requirements/$1.txt"
    "${pip[@]}" install --no-deps --no-build-isolation --no-index --editable .
}
