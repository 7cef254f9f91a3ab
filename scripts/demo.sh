# shellcheck shell=bash
# `./dev demo [theia]`: the gateway on this machine, with users, keys and a certificate of its own making.

DEMO_PORT=${USHER_DEMO_PORT:-8443}
DEMO_REDIRECT_PORT=${USHER_DEMO_REDIRECT_PORT:-8080}
DEMO_ADMIN_PORT=${USHER_DEMO_ADMIN_PORT:-9090}

# name, tenant, what the pages call them
readonly DEMO_USERS=("ada acme Ada Lovelace" "bo acme Bo Li" "carmen globex Carmen Ruiz" "deng globex 邓小雨")

demo() {
    local workspace=${1:-sample}
    [[ $workspace == sample || $workspace == theia ]] || fail "the demo's workspace is \"theia\" or nothing, not \"$workspace\""
    needs_rust
    [[ $workspace == theia ]] && needs_theia
    say "building the gateway"
    cargo build --release --locked --bin usher
    demo_folder "$LOCAL/demo" "$TARGET/release/usher" "$workspace"
    "$TARGET/release/usher" check "$LOCAL/demo/usher.yaml"
    demo_welcome "$LOCAL/demo"
    # In place of this shell: what the terminal sends (ctrl-C) the gateway gets, and it ends its workspaces.
    exec "$TARGET/release/usher" run "$LOCAL/demo/usher.yaml"
}

# demo_folder FOLDER USHER WORKSPACE [COMMAND]: everything that the gateway needs there, made if it is missing.
# COMMAND is the gateway's program as its configuration shall name it, where that differs.
demo_folder() {
    local folder=$1 usher=$2 workspace=$3 command=${4:-$2}
    mkdir -p "$folder"
    chmod 700 "$folder"
    [[ -f $folder/certs/tls.crt ]] || "$usher" dev-certificates "$folder/certs" >/dev/null
    [[ -f $folder/session.key ]] || "$usher" session-key "$folder/session.key" >/dev/null
    [[ -f $folder/users.yaml ]] || demo_users "$folder" "$usher"
    {
        render deploy/demo/usher.yaml.in \
            "PORT=$DEMO_PORT" "REDIRECT_PORT=$DEMO_REDIRECT_PORT" "ADMIN_PORT=$DEMO_ADMIN_PORT"
        render "deploy/demo/workspace-$workspace.yaml.in" \
            "USHER=$command" "NODE=$(command -v node || true)" "THEIA=$CACHE/theia"
    } >"$folder/usher.yaml"
}

# Passwords are made here, once, and kept beside the users file, readable by their owner alone.
demo_users() {
    local folder=$1 usher=$2 entry name tenant title password hash
    : >"$folder/passwords" && chmod 600 "$folder/passwords"
    printf 'users:\n' >"$folder/users.yaml.new"
    for entry in "${DEMO_USERS[@]}"; do
        read -r name tenant title <<<"$entry"
        password=$(random_word)
        hash=$(printf '%s' "$password" | "$usher" hash-password)
        printf '%s %s %s\n' "$tenant" "$name" "$password" >>"$folder/passwords"
        cat >>"$folder/users.yaml.new" <<YAML
  - name: $name
    tenant: $tenant
    display_name: "$title"
    password: "$hash"
YAML
    done
    # Last, and in one step: a users file that stands there is complete.
    chmod 600 "$folder/users.yaml.new"
    mv "$folder/users.yaml.new" "$folder/users.yaml"
}

demo_welcome() {
    local folder=$1 tenant name password
    printf '\n  Usher     https://localhost:%s/\n' "$DEMO_PORT"
    printf '  metrics   http://127.0.0.1:%s/metrics\n' "$DEMO_ADMIN_PORT"
    printf '  authority %s (import it to lose the browser'"'"'s warning)\n\n' "$folder/certs/ca.crt"
    printf '  %-8s %-8s %s\n' tenant user password
    while read -r tenant name password; do
        printf '  %-8s %-8s %s\n' "$tenant" "$name" "$password"
    done <"$folder/passwords"
    printf '\n  ctrl-C stops the gateway and every workspace.\n\n'
}
