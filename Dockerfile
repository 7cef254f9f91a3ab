# The gateway's image: one program, the libraries that it is linked with, and the authorities that it trusts.
# No shell, no package manager, not root. `./dev image` builds it, also where no registry can be reached.
#
# BUILDER  has the Rust toolchain of rust-toolchain.toml, a C compiler and cmake (the last two are installed if missing).
# BASE     is what the program's libraries are taken from: Debian of the same release as BUILDER.
# BINARY   is the stage that the program comes from: `build` compiles it here, `prebuilt` takes PREBUILT, which was
#          compiled outside against the same release of Debian.
ARG BUILDER=rust:1.95.0-slim-bookworm
ARG BASE=debian:bookworm-slim
ARG BINARY=build

FROM ${BUILDER} AS build
RUN command -v cmake >/dev/null && command -v c++ >/dev/null \
    || { apt-get update && apt-get install -y --no-install-recommends cmake make g++; }
# The toolchain that is there, without the components that only development needs.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
RUN cargo build --profile dist --locked --bin usher \
    && install -D target/dist/usher /out/usher

FROM ${BASE} AS prebuilt
ARG PREBUILT=target/dist/usher
COPY ${PREBUILT} /out/usher

FROM ${BINARY} AS binary

FROM ${BASE} AS files
COPY --from=binary /out/usher /image/usr/bin/usher
# What the dynamic linker would load, the linker itself included, each under the path where it is looked for.
# Names and users come from files and DNS, which this C library does without further modules.
RUN set -eu; \
    ldd /image/usr/bin/usher | grep -o '/[^ ]*' | while read -r library; do install -D "$library" "/image$library"; done; \
    mkdir -p /image/etc/ssl/certs /image/etc/usher /image/var/lib/usher /image/tmp; \
    if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/; fi; \
    echo 'usher:x:65532:65532:usher:/var/lib/usher:/sbin/nologin' >/image/etc/passwd; \
    echo 'usher:x:65532:' >/image/etc/group; \
    echo 'hosts: files dns' >/image/etc/nsswitch.conf; \
    chown 65532:65532 /image/var/lib/usher; \
    chmod 1777 /image/tmp

FROM scratch
COPY --from=files /image/ /
USER 65532:65532
WORKDIR /var/lib/usher
ENV HOME=/var/lib/usher PATH=/usr/bin
# Configuration is mounted at /etc/usher; `state_dir` belongs on a volume at /var/lib/usher.
VOLUME /var/lib/usher
EXPOSE 8443 8080 9090
ENTRYPOINT ["/usr/bin/usher"]
CMD ["run", "/etc/usher/usher.yaml"]
