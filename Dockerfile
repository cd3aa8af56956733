# One image per service: docker buildx build --build-arg SERVICE=services/records-api .
ARG SERVICE=gateway

FROM node:26-trixie-slim AS manifests
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY gateway/package.json gateway/
COPY packages/cli/package.json packages/cli/
COPY packages/service-kit/package.json packages/service-kit/
COPY packages/shared-auth/package.json packages/shared-auth/
COPY services/caller-api/package.json services/caller-api/
COPY services/local-entra/package.json services/local-entra/
COPY services/records-api/package.json services/records-api/

# What every service stands on, compiled once for all of them.
FROM manifests AS packages
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts
COPY tsconfig.base.json ./
COPY packages/service-kit packages/service-kit
COPY packages/shared-auth packages/shared-auth
RUN node_modules/.bin/tsc -b packages/service-kit packages/shared-auth

FROM packages AS build
ARG SERVICE
COPY ${SERVICE} ${SERVICE}
# The source maps hold the sources.
RUN node_modules/.bin/tsc -b ${SERVICE} && \
    for folder in packages/service-kit packages/shared-auth ${SERVICE}; do rm -rf $folder/src $folder/tsconfig*; done

FROM manifests AS production
ARG SERVICE
RUN --mount=type=cache,target=/root/.npm \
    npm ci --ignore-scripts --omit=dev --workspace=${SERVICE} --include-workspace-root=false

FROM node:26-trixie-slim
ARG SERVICE
# Where volumes go: a new one takes over the owner.
RUN mkdir /data /public /secrets && chown 10001:10001 /data /public /secrets
COPY --from=production /app/node_modules /app/node_modules
COPY --from=build /app/packages/service-kit /app/packages/service-kit
COPY --from=build /app/packages/shared-auth /app/packages/shared-auth
COPY --from=build /app/${SERVICE} /app/${SERVICE}
WORKDIR /app/${SERVICE}
ENV NODE_ENV=production HOST=0.0.0.0 \
    NODE_OPTIONS="--max-old-space-size-percentage=75 --disable-sigusr1"
USER 10001:10001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --start-interval=500ms --retries=3 \
    CMD ["node", "/app/packages/service-kit/dist/healthcheck.js"]
CMD ["node", "--enable-source-maps", "--import", "/app/packages/service-kit/dist/tracing.js", "dist/main.js"]
ARG REVISION=unknown
LABEL org.opencontainers.image.title="countersign ${SERVICE}" \
    org.opencontainers.image.description="App-only calls between APIs on Microsoft Entra ID" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.base.name="docker.io/library/node:26-trixie-slim"
