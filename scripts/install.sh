# shellcheck shell=bash
# Installs what a verb needs: needs_GROUP says what a group is, and does nothing when all of it is there.

readonly APT_BUILD=(build-essential cmake ca-certificates curl git)
readonly APT_BROWSER=(chromium fonts-noto-cjk fonts-dejavu-core)
readonly APT_THEIA=(build-essential python3 pkg-config libx11-dev libxkbfile-dev libsecret-1-dev)
readonly APT_METRICS=(prometheus)
# slapd and Samba's domain controller, and what puts the latter into a network namespace.
readonly APT_DIRECTORIES=(slapd samba samba-ad-provision samba-dsdb-modules samba-vfs-modules iproute2)
readonly APT_PYTHON=(python3 python3-venv)
readonly APT_BENCH=(nginx-light haproxy nghttp2-client wrk python3 procps)
readonly APT_BENCH_LOGINS=(slapd ldap-utils)
readonly APT_IMAGE=(buildah debootstrap)
readonly APT_SCRIPTS=(shellcheck)
readonly NODE_MAJOR=20

setup() {
    needs_rust
    needs_node
    needs_packages "${APT_BROWSER[@]}" "${APT_THEIA[@]}" "${APT_METRICS[@]}" "${APT_DIRECTORIES[@]}" "${APT_PYTHON[@]}" \
        "${APT_BENCH[@]}" "${APT_BENCH_LOGINS[@]}" "${APT_IMAGE[@]}" "${APT_SCRIPTS[@]}"
    needs_node_modules tests/e2e
    needs_node_modules tests/conformance
    needs_conformance_runner
    needs_theia
    say "everything is there"
}

package_installed() {
    [[ $(dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null) == ii* ]]
}

# needs_packages NAME…: Debian packages. None of their services is left running or enabled.
needs_packages() {
    local name missing=()
    for name in "$@"; do
        # Any flavour of nginx will do.
        [[ $name == nginx-light ]] && have nginx && continue
        package_installed "$name" || missing+=("$name")
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    have apt-get || fail "these are missing, and this is no Debian to install them on: ${missing[*]}"
    say "installing Debian packages: ${missing[*]}"
    without_services install_packages "${missing[@]}"
}

install_packages() {
    # An index that is a little old still installs; one that is missing does not.
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || warn "the package index could not be refreshed"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# without_services COMMAND…: runs it under a policy that refuses every start of a service,
# and disables those that came with it, so that they do not start at the next boot either.
without_services() {
    local policy=/usr/sbin/policy-rc.d ours=no status=0
    if [[ ! -e $policy ]]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    "$@" || status=$?
    [[ $ours == yes ]] && as_root rm -f "$policy"
    [[ $status -eq 0 ]] || fail "the packages could not be installed"
    if [[ -d /run/systemd/system ]]; then
        local service
        for service in nginx haproxy prometheus slapd; do
            case " $* " in *" $service"*) as_root systemctl disable --quiet "$service" || true ;; esac
        done
        case " $* " in *" samba "*) as_root systemctl disable --quiet smbd nmbd samba-ad-dc || true ;; esac
    fi
}

needs_rust() {
    needs_packages "${APT_BUILD[@]}"
    local wanted
    wanted=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
    if ! have cargo && [[ -x $HOME/.cargo/bin/cargo ]]; then
        PATH=$HOME/.cargo/bin:$PATH
    fi
    have cargo || fail "Rust is missing. Install rustup as https://rustup.rs says, then: rustup toolchain install $wanted"
    # With rustup, this installs the toolchain that rust-toolchain.toml names, if it has to.
    local found
    found=$(cargo --version | cut -d' ' -f2) || fail "cargo does not run; try: rustup toolchain install $wanted"
    [[ $found == "$wanted" ]] ||
        fail "cargo is $found, and this needs $wanted: rustup toolchain install $wanted --component rustfmt --component clippy"
}

needs_node() {
    if ! have node || ! have npm; then
        needs_packages nodejs npm
    fi
    local major
    major=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
    [[ $major -ge $NODE_MAJOR ]] || fail "node is $(node --version), and this needs version $NODE_MAJOR or later: https://nodejs.org"
}

# needs_node_modules FOLDER: what its package-lock.json names, nothing newer.
needs_node_modules() {
    local folder=$1 stamp
    needs_node
    stamp=$(fingerprint "$folder/package.json" "$folder/package-lock.json")
    [[ -f $folder/node_modules/.usher-stamp && $(<"$folder/node_modules/.usher-stamp") == "$stamp" ]] && return
    say "installing npm packages of $folder"
    (cd "$folder" && npm ci --no-audit --no-fund --loglevel=error >&2) || fail "npm packages of $folder"
    printf '%s' "$stamp" >"$folder/node_modules/.usher-stamp"
}

# The runner of the Autobahn cases, in a virtual environment of its own.
needs_conformance_runner() {
    needs_packages "${APT_PYTHON[@]}"
    local folder=$CACHE/conformance-venv requirements=tests/conformance/requirements.txt stamp
    stamp=$(fingerprint "$requirements")
    [[ -f $folder/.usher-stamp && $(<"$folder/.usher-stamp") == "$stamp" ]] && return
    say "installing Python packages of $requirements"
    rm -rf "$folder"
    python3 -m venv "$folder" || fail "no virtual environment in $folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" ||
        fail "Python packages of $requirements"
    printf '%s' "$stamp" >"$folder/.usher-stamp"
}

# Eclipse Theia, built once into the cache; about two minutes and 600 MB.
needs_theia() {
    local source=tests/e2e/theia folder=$CACHE/theia stamp
    needs_node
    stamp=$(fingerprint "$source/package.json" "$source/package-lock.json")-$(node --version)
    [[ -f $folder/.usher-stamp && $(<"$folder/.usher-stamp") == "$stamp" ]] && return
    needs_packages "${APT_THEIA[@]}"
    say "building Eclipse Theia into $folder"
    rm -rf "$folder"
    mkdir -p "$folder"
    cp "$source/package.json" "$source/package-lock.json" "$folder/"
    (
        cd "$folder"
        # Theia's command line names a browser that nothing here uses; it is 150 MB.
        export PUPPETEER_SKIP_DOWNLOAD=1 NODE_OPTIONS=--max-old-space-size=4096
        npm ci --no-audit --no-fund --loglevel=error && npm run build
    ) >"$CACHE/theia-build.log" 2>&1 || {
        tail -n 30 "$CACHE/theia-build.log" >&2
        fail "Theia could not be built; the whole log is $CACHE/theia-build.log"
    }
    printf '%s' "$stamp" >"$folder/.usher-stamp"
}
