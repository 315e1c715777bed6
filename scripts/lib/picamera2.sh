# A Debian trixie with libcamera's virtual camera and picamera2, for scripts/test-picamera2. Sourced from the root of
# the repository, after debian.sh. All that needs the network is done from outside, by the machine's own apt and pip
# and as they are configured; inside, there is none.

picamera2_dir=$PWD/.cache/picamera2
tree=$picamera2_dir/tree
inputs=(
    scripts/lib/picamera2.sh tests/picamera2/virtual.yaml tests/picamera2/tree_requirements.py
    requirements/unit.txt requirements/dev.txt requirements/picamera2.txt
)
# libcamera of trixie itself fails every picture; that of bookworm has no virtual camera.
backports=(python3-libcamera libcamera-ipa)
packages=(python3-prctl python3-piexif)

require_root() {
    [[ $EUID -eq 0 ]] ||
        leave_out "needs root, to enter a tree of its own (chroot in a mount namespace): sudo $PWD/scripts/test-picamera2"
    unshare --mount --propagation private chroot / true 2>/dev/null ||
        leave_out "no mount namespace, or no chroot, is allowed here, as in many containers"
}

# What is needed of the machine and of the network shows in the tree's base. What goes wrong after that is a fault.
require_tree() {
    local stamp
    stamp=$(tree_stamp)
    if [[ -f $tree/.made-from && $(<"$tree/.made-from") == "$stamp" ]]; then
        return 0
    fi
    (require_debian_packages debootstrap) || leave_out "debootstrap is missing"
    echo "test-picamera2: making $tree" >&2
    rm -rf "$tree" "$tree.new"
    if ! debian_base "$tree.new" >"$picamera2_dir/make.log" 2>&1; then
        give_tree_up
        leave_out "no Debian can be made here (no mirror, or mounting is not allowed); why stands above"
    fi
    if ! fill_tree "$tree.new" >>"$picamera2_dir/make.log" 2>&1; then
        give_tree_up
        echo "test-picamera2: the tree could not be made; all that was said is in $picamera2_dir/make.log" >&2
        exit 1
    fi
    echo "$stamp" >"$tree.new/.made-from" # last: a tree that was cut off has none
    mv -T "$tree.new" "$tree"
}

give_tree_up() {
    tail -n 40 "$picamera2_dir/make.log" >&2
    rm -rf "$tree.new"
}

tree_stamp() {
    { dpkg --print-architecture && sha256sum "${inputs[@]}"; } | sha256sum | cut -d' ' -f1
}

# A function in a condition runs on after a failure, so each step ends it.
fill_tree() {
    local new=$1
    libcamera_packages "$new" || return 1
    cp tests/picamera2/virtual.yaml "$new/usr/share/libcamera/pipeline/virtual/virtual.yaml" || return 1
    python_packages "$new" || return 1
    rm -rf "$new"/var/cache/apt/archives/*.deb "$new/wheels"
}

# The machine's own mirror of Debian, whichever release the machine has.
debian_mirror() {
    apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 2>/dev/null |
        awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

debian_base() {
    local new=$1 mirror
    mirror=${PICAMERA2_MIRROR:-$(debian_mirror)}
    if [[ -z $mirror ]]; then
        echo "there is no mirror of Debian in apt's configuration; name one: PICAMERA2_MIRROR=…"
        return 1
    fi
    mkdir -p "$new"
    # In a namespace: what debootstrap mounts is gone with it, also when it is cut off; and it takes no blanks in a path.
    unshare --mount --propagation private bash -euc '
        mount --bind "$1" /mnt
        debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates trixie /mnt "$2"
    ' debootstrap "$new" "$mirror" || return 1
    printf 'deb %s %s main\n' "$mirror" trixie "$mirror" trixie-backports >"$new/etc/apt/sources.list"
}

libcamera_packages() {
    local new=$1 apt
    apt=(
        apt-get -q -o "Dir::State=$new/var/lib/apt" -o "Dir::State::status=$new/var/lib/dpkg/status"
        -o "Dir::Cache=$new/var/cache/apt" -o "Dir::Etc::SourceList=$new/etc/apt/sources.list"
        -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null -o Acquire::Languages=none
        -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root
    )
    "${apt[@]}" update || return 1
    "${apt[@]}" --yes --no-install-recommends --download-only install \
        "${backports[@]/%//trixie-backports}" "${packages[@]}" || return 1
    enter_tree "$new" env DEBIAN_FRONTEND=noninteractive \
        sh -c 'dpkg --unpack /var/cache/apt/archives/*.deb && dpkg --configure -a'
}

python_packages() {
    local new=$1 version tag platforms=()
    version=$(enter_tree "$new" python3 -c 'import platform; print(platform.python_version())') || return 1
    for tag in 2_28 2_27 2_26 2_24 2_17 2_12 2_5; do
        platforms+=(--platform "manylinux_${tag}_$(uname -m)")
    done
    platforms+=(--platform "manylinux2014_$(uname -m)" --platform "manylinux2010_$(uname -m)")
    mkdir -p "$new/wheels"
    .venv/bin/python -m tests.picamera2.tree_requirements "$version" >"$new/wheels/requirements.txt" || return 1
    .venv/bin/python -m pip --quiet --no-input --disable-pip-version-check download --no-deps --require-hashes \
        --only-binary :all: --implementation cp --python-version "${version%.*}" "${platforms[@]}" \
        --dest "$new/wheels" --requirement "$new/wheels/requirements.txt" || return 1
    enter_tree "$new" sh -c 'python3 -m venv /opt/venv && /opt/venv/bin/python -m pip --quiet --no-input \
        --disable-pip-version-check install --no-index --find-links /wheels --no-deps --require-hashes \
        --requirement /wheels/requirements.txt'
}

# Runs a command in the tree: the checkout below /checkout, read only; what is written to /out stays; devices are those
# that every machine has, so that no camera of this one is found.
enter_tree() {
    unshare --mount --propagation private bash -euc '
        tree=$1 checkout=$2 out=$3
        shift 3
        mkdir -p "$tree/checkout" "$tree/out"
        mount --bind "$checkout" "$tree/checkout"
        mount -o remount,bind,ro "$tree/checkout"
        mount --bind "$out" "$tree/out"
        mount -t proc proc "$tree/proc"
        mount -t sysfs -o ro sysfs "$tree/sys" 2>/dev/null || mount --rbind /sys "$tree/sys"
        mount -t tmpfs tmpfs "$tree/tmp"
        mount -t tmpfs tmpfs "$tree/dev"
        for name in null zero full random urandom; do
            : >"$tree/dev/$name"
            mount --bind "/dev/$name" "$tree/dev/$name"
        done
        mkdir "$tree/dev/shm"
        mount -t tmpfs tmpfs "$tree/dev/shm"
        exec chroot "$tree" env -i PATH=/opt/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LANG=C.UTF-8 \
            PYTHONPYCACHEPREFIX=/tmp/pycache PICAMERA2_TREE=1 LIBCAMERA_LOG_LEVELS=*:ERROR \
            sh -c "cd /checkout && exec \"\$@\"" sh "$@"
    ' enter "$1" "$PWD" "$picamera2_dir/out" "${@:2}"
}
