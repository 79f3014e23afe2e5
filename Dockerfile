# A node of Penstock: docs/guide/image.md. Debian's own python3, so that tests/image can run these very steps in a
# root made by debootstrap. Only instructions that tests/image/dockerfile.py understands stand here.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS system
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 ca-certificates \
 && rm -rf /var/lib/apt/lists /var/cache/apt /var/cache/debconf /var/cache/ldconfig /var/log/* /tmp/* /var/tmp/* \
 && find /usr/share/doc -type f ! -name copyright -delete && find /usr/share/doc -type d -empty -delete \
 && rm -rf /usr/share/man /usr/share/info /usr/share/locale \
 && groupadd --gid 10001 penstock \
 && useradd --uid 10001 --gid 10001 --home-dir /data --no-create-home --shell /usr/sbin/nologin penstock \
 && install -d -m 0700 -o 10001 -g 10001 /data \
 && install -d /etc/penstock

FROM system AS build
ARG SOURCE_DATE_EPOCH=1767225600
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv binutils
WORKDIR /source
COPY image image
COPY requirements.lock requirements-build.lock ./
RUN image/libraries.sh /build
COPY pyproject.toml README.md LICENSE ./
COPY gateway gateway
COPY api_components api_components
COPY policies policies
COPY openapi openapi
COPY --from=system /var/lib/dpkg/status /usr/lib/os-release system/
RUN image/install.sh /build /opt/penstock

FROM system
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:/usr/local/bin:/usr/bin:/bin
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
ENV PENSTOCK_DATA=/data PENSTOCK_CONTEXT=/data/context.json PENSTOCK_HOST=0.0.0.0
LABEL org.opencontainers.image.title="Penstock"
LABEL org.opencontainers.image.description="An API management gateway"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.version="0.1.0"
LABEL org.opencontainers.image.base.name="docker.io/library/debian:trixie-slim"
WORKDIR /data
VOLUME ["/data"]
USER 10001:10001
EXPOSE 8080 8081
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["penstock", "health"]
ENTRYPOINT ["penstock"]
CMD ["serve"]
