# The base images are pinned by name and version. To pin their exact content, add the digest that
# `docker buildx imagetools inspect NAME:TAG` shows: NAME:TAG@sha256:…
FROM docker.io/library/rust:1.95.0-bookworm AS build
WORKDIR /build

# Lists the dependencies inside the binary, where `cargo audit bin` and other scanners read them.
RUN cargo install --locked cargo-auditable@0.7.7

# Three layers, so that a change only recompiles what it affects: the dependencies, the session crate,
# the application. Each layer is built with empty files instead of the sources of later layers. What
# was compiled from them is removed again, because Cargo compares file times, and the real sources may
# be older.
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/
COPY crates/rocket_server_sessions/Cargo.toml crates/rocket_server_sessions/
COPY crates/test_support/Cargo.toml crates/test_support/
RUN mkdir -p src crates/rocket_server_sessions/src crates/test_support/src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs crates/rocket_server_sessions/src/lib.rs crates/test_support/src/lib.rs \
    && cargo auditable build --locked --release --bin cloud-run-sessions \
    && cargo clean --locked --release --package cloud-run-sessions --package rocket_server_sessions

COPY crates/rocket_server_sessions crates/rocket_server_sessions
RUN cargo auditable build --locked --release --bin cloud-run-sessions \
    && cargo clean --locked --release --package cloud-run-sessions

COPY Rocket.toml ./
COPY static static
COPY templates templates
COPY src src
RUN cargo auditable build --locked --release --bin cloud-run-sessions

# Contains libc and certificates, but no shell and no package manager. Its tags name only Debian's
# version and the user.
FROM gcr.io/distroless/cc-debian12:nonroot
WORKDIR /app
COPY --from=build /build/target/release/cloud-run-sessions ./

ENV ROCKET_ADDRESS=0.0.0.0
# A number, because platforms that forbid root cannot look up a name.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/app/cloud-run-sessions"]

# The address of the repository and the commit: --build-arg REVISION=$(git rev-parse HEAD).
ARG SOURCE
ARG REVISION
LABEL org.opencontainers.image.title="cloud-run-sessions" \
      org.opencontainers.image.description="A Rocket application that counts page views in sessions kept in Redis" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
