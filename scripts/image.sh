# shellcheck shell=bash
# `./dev image`: the container image, built with buildah, started once, and left as artefacts/usher-image.tar. With a
# registry in reach the Dockerfile does it all. Without one, the base is made by debootstrap from this machine's own
# package sources, and the program is compiled outside: that needs a Debian of the same release, which this then runs on.

readonly IMAGE=localhost/usher:dev
readonly IMAGE_BASE=localhost/usher-base:bookworm
readonly IMAGE_RELEASE=bookworm

# buildah on a store of our own, which may be tidied up without asking. No mounts, no user namespaces, so that it works
# inside containers too.
exec_in_store() {
    exec buildah --root "$CACHE/containers/store" --runroot "$CACHE/containers/run" --storage-driver vfs "$@"
}
store() { (exec_in_store "$@"); }

image() {
    needs_rust
    needs_packages "${APT_IMAGE[@]}"
    export BUILDAH_ISOLATION=chroot
    if store pull --quiet debian:bookworm-slim >/dev/null 2>&1; then
        say "building $IMAGE, program included"
        store build --layers --tag "$IMAGE" .
    else
        say "no registry can be reached: the base comes from debootstrap, the program from this machine"
        image_base
        say "building the gateway as it is shipped"
        cargo build --profile dist --locked --bin usher
        image_from_parts
    fi
    image_start_once
    image_keep
}

# A minimal Debian as an image, from the mirror that this machine installs its packages from.
image_base() {
    store inspect --type image "$IMAGE_BASE" >/dev/null 2>&1 && return
    local folder mirror container
    folder=$CACHE/image-base
    # shellcheck disable=SC2016 # apt-get fills this in
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Codename: $IMAGE_RELEASE" | head -n 1)
    [[ -n $mirror ]] || fail "this machine has no package source for Debian $IMAGE_RELEASE"
    say "making $IMAGE_BASE"
    as_root rm -rf "$folder"
    as_root debootstrap --variant=minbase --include=ca-certificates "$IMAGE_RELEASE" "$folder" "$mirror" >"$CACHE/debootstrap.log" ||
        fail "debootstrap failed; its log is $CACHE/debootstrap.log"
    container=$(store from scratch)
    store copy --quiet "$container" "$folder" / >/dev/null
    store commit --quiet "$container" "$IMAGE_BASE" >/dev/null
    store rm "$container" >/dev/null
    as_root rm -rf "$folder"
}

# The program may stand outside the folder that is built from, so it is put into a small one of its own.
image_from_parts() {
    local folder
    folder=$(mktemp -d)
    cp "$TARGET/dist/usher" "$folder/usher"
    say "building $IMAGE"
    store build --quiet --tag "$IMAGE" --file Dockerfile \
        --build-arg BASE="$IMAGE_BASE" --build-arg BUILDER="$IMAGE_BASE" \
        --build-arg BINARY=prebuilt --build-arg PREBUILT=usher "$folder"
    rm -rf "$folder"
}

# The image with the demo's configuration, as the user that it runs as, until /livez answers.
image_start_once() {
    local folder=$LOCAL/image container mounted log
    container=$(store from "$IMAGE")
    mounted=$(store mount "$container")
    # Keys and certificates are made by the program in the image, so that is tried as well.
    # shellcheck disable=SC2034 # the demo's scripts read these
    DEMO_PORT=18443 DEMO_REDIRECT_PORT=18080 DEMO_ADMIN_PORT=19090
    rm -rf "$folder"
    demo_folder "$folder" "$mounted/usr/bin/usher" sample /usr/bin/usher
    sed -i 's#^state_dir: .*#state_dir: /var/lib/usher#' "$folder/usher.yaml"
    as_root chown -R 65532:65532 "$folder"
    log=$LOCAL/image.log
    # Run in place of the subshell, so that the job is buildah itself and ends with the signal.
    (exec_in_store run --volume "$folder:/etc/usher:ro" "$container" -- /usr/bin/usher run /etc/usher/usher.yaml >"$log" 2>&1) &
    local job=$! answered=no
    for _ in $(seq 100); do
        if curl --silent --fail --max-time 2 "http://127.0.0.1:$DEMO_ADMIN_PORT/livez" >/dev/null; then
            answered=yes
            break
        fi
        kill -0 "$job" 2>/dev/null || break
        sleep 0.2
    done
    kill "$job" 2>/dev/null || true
    wait "$job" 2>/dev/null || true
    store umount "$container" >/dev/null
    store rm "$container" >/dev/null
    [[ $answered == yes ]] || fail "the image did not answer on /livez; its log is $log"
    say "$IMAGE answers on /livez"
}

# What docker, podman and skopeo can load; what was only on the way to it is thrown away.
image_keep() {
    local file=$ROOT/artefacts/usher-image.tar
    store rm --all >/dev/null
    store rmi --prune >/dev/null 2>&1 || true
    mkdir -p "$ROOT/artefacts"
    rm -f "$file"
    store push --quiet "$IMAGE" "oci-archive:$file:usher:dev"
    say "$file: $(du -h "$file" | cut -f1) ($(store images --format '{{.Size}}' "$IMAGE") unpacked)"
}
