# Debian packages: what is missing is installed where that is allowed, else named with the line to type.
# Sourced from the root of the repository.

debian_dir=.cache/debian
cannot_run=77 # exit code of tests that this machine cannot run, as automake has it; scripts/test counts them as skipped

# Ends the script: what follows needs something that the machine lacks.
leave_out() {
    echo "$(basename "$0"): skipped: $*" >&2
    exit "$cannot_run"
}

is_installed() {
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

may_use_apt() {
    [[ ${SETUP_APT:-yes} != no ]] && command -v apt-get >/dev/null
}

as_root() {
    if [[ $EUID -eq 0 ]]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    else
        sudo -n env DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

may_be_root() {
    [[ $EUID -eq 0 ]] || { command -v sudo >/dev/null && sudo -n true 2>/dev/null; }
}

require_debian_packages() {
    local missing=() package
    command -v dpkg-query >/dev/null || return 0 # not a Debian: the tests say what they miss
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0
    if ! may_use_apt || ! may_be_root; then
        echo "setup: these Debian packages are missing: ${missing[*]}" >&2
        echo "setup: install them, then call this again:" >&2
        echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${missing[*]}" >&2
        exit 1
    fi
    echo "setup: installing ${missing[*]}" >&2
    install_debian_packages "${missing[@]}" >.cache/apt.log 2>&1 || {
        cat .cache/apt.log >&2
        echo "setup: apt-get could not install ${missing[*]}; its own words are above" >&2
        exit 1
    }
}

# Package lists are refreshed only when they do not do.
install_debian_packages() {
    local install=(apt-get -q install --yes --no-install-recommends "$@")
    as_root "${install[@]}" || { as_root apt-get -q update && as_root "${install[@]}"; }
}

# The broker is unpacked, not installed, when the machine has none: installing it would start a service of
# the system on the default port, and unpacking needs no root.
require_mosquitto() {
    if [[ -n ${CSU_MOSQUITTO:-} ]] || [[ -x /usr/sbin/mosquitto ]] || command -v mosquitto >/dev/null ||
        [[ -x $debian_dir/mosquitto ]]; then
        return 0
    fi
    if ! may_use_apt || ! unpack_debian_package mosquitto; then
        echo "setup: there is no mosquitto, and it could not be fetched; install it, or name one that is" >&2
        echo "setup: somewhere else: CSU_MOSQUITTO=/path/to/mosquitto" >&2
        echo "    sudo apt-get install mosquitto" >&2
        exit 1
    fi
    write_wrapper mosquitto usr/sbin/mosquitto
}

# The receiver daemon of the tests likewise: installed, it would listen for receivers of the machine's own.
require_gpsd() {
    if { [[ -x /usr/sbin/gpsd ]] && command -v gpsfake >/dev/null; } || [[ -x $debian_dir/gpsfake ]]; then
        return 0
    fi
    if ! may_use_apt || ! unpack_debian_package gpsd gpsd-clients; then
        echo "setup: there is no gpsd, and it could not be fetched; install it without starting it:" >&2
        echo "    sudo systemctl mask gpsd.socket gpsd.service && sudo apt-get install gpsd gpsd-clients" >&2
        exit 1
    fi
    # gpsfake looks for its library beside its Python package, or where only an installation puts it.
    cp -P "$debian_dir"/files/usr/lib/*-linux-gnu*/libgpsdpacket.so.* "$debian_dir/files/usr/lib/python3/dist-packages"
    write_wrapper gpsd usr/sbin/gpsd
    write_wrapper gpsfake usr/bin/gpsfake
}

# Unpacks packages, and those of their dependencies that the machine lacks, into .cache/debian/files; by the
# machine's own package lists, or else by fresh ones kept in .cache (which need no root either).
unpack_debian_package() {
    local apt=(apt-get -q -o APT::Sandbox::User=root)
    echo "setup: unpacking Debian's $* into $debian_dir" >&2
    fetch_and_unpack "$@" 2>/dev/null && return 0
    mkdir -p "$debian_dir/lists/partial"
    apt+=(-o "Dir::State::Lists=$PWD/$debian_dir/lists" -o "Dir::Cache=$PWD/$debian_dir"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    "${apt[@]}" update >&2 && fetch_and_unpack "$@"
}

# Uses the caller's `apt`. What apt would install is what is missing.
fetch_and_unpack() {
    local plan names archive
    plan=$("${apt[@]}" --simulate --no-install-recommends install "$@") || return 1
    mapfile -t names < <(awk '$1 == "Inst" { print $2 }' <<<"$plan")
    rm -rf "$debian_dir/packages"
    mkdir -p "$debian_dir/packages" "$debian_dir/files"
    (cd "$debian_dir/packages" && "${apt[@]}" download "${names[@]}" >&2) || return 1
    for archive in "$debian_dir"/packages/*.deb; do
        dpkg -x "$archive" "$debian_dir/files" || return 1
    done
    rm -rf "$debian_dir/packages"
}

# Makes .cache/debian/NAME, which runs an unpacked program with its unpacked libraries.
write_wrapper() {
    local name=$1 program=$2
    cat >"$debian_dir/$name.new" <<WRAPPER
#!/bin/sh
# Runs the unpacked $name; written by scripts/setup.
here=\$(cd "\$(dirname "\$(readlink -f "\$0")")" && pwd)
for folder in "\$here"/files/usr/lib/*-linux-gnu* "\$here"/files/lib/*-linux-gnu*; do
    [ -d "\$folder" ] && LD_LIBRARY_PATH=\$folder\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}
done
export LD_LIBRARY_PATH
export PYTHONPATH="\$here/files/usr/lib/python3/dist-packages"
exec "\$here/files/$program" "\$@"
WRAPPER
    chmod +x "$debian_dir/$name.new"
    mv "$debian_dir/$name.new" "$debian_dir/$name"
}
