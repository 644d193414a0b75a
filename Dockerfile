# Three images from one file: `operator` (the default), `api` and `training`. docs/install.md says how to build them.
#   docker build --target operator -t forescale .
# Every package is pinned by version and hash in constraints/; the base image is chosen with --build-arg BASE.

ARG BASE=python:3.12-slim-bookworm

FROM ${BASE} AS tools
WORKDIR /source
RUN python3 -m venv /tools && python3 -m venv --without-pip /opt/forescale
COPY constraints/build.txt constraints/
RUN /tools/bin/pip install --no-cache-dir --require-hashes -r constraints/build.txt
ENV INSTALL="/tools/bin/pip --python /opt/forescale/bin/python install --no-cache-dir"

FROM tools AS wheel
COPY pyproject.toml README.md LICENSE ./
COPY scaling scaling
COPY sim sim
COPY training training
COPY controller controller
COPY forescale forescale
RUN /tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels .

FROM tools AS operator-environment
COPY constraints/operator.txt constraints/
RUN ${INSTALL} --require-hashes -r constraints/operator.txt
COPY --from=wheel /wheels /wheels
RUN ${INSTALL} --no-deps /wheels/*.whl

FROM tools AS api-environment
COPY constraints/api.txt constraints/
RUN ${INSTALL} --require-hashes -r constraints/api.txt
COPY --from=wheel /wheels /wheels
RUN ${INSTALL} --no-deps /wheels/*.whl

# TORCH_INDEX chooses another build of PyTorch, such as the one for processors alone, by the address of its package index.
# That build has other hashes, so its version is pinned and its hash is not. Packages for CUDA are then left out.
FROM tools AS training-environment
ARG TORCH_INDEX=""
COPY constraints/training.txt constraints/
RUN if [ -z "${TORCH_INDEX}" ]; then \
        ${INSTALL} --require-hashes -r constraints/training.txt; \
    else \
        awk '/^[a-z]/ { kept = $0 !~ /^(torch|triton|cuda-[a-z]+|nvidia-[a-z0-9-]+)==/ } kept' \
            constraints/training.txt > constraints/without-torch.txt \
        && ${INSTALL} --no-deps --require-hashes -r constraints/without-torch.txt \
        && ${INSTALL} --no-deps --index-url "${TORCH_INDEX}" \
            "$(grep -o '^torch==[^ ;]*' constraints/training.txt)"; \
    fi
COPY --from=wheel /wheels /wheels
RUN ${INSTALL} --no-deps /wheels/*.whl

# What all three share: a user without rights, a root that may be read-only, and no package installer.
FROM ${BASE} AS runtime
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="forescale" \
      org.opencontainers.image.description="A Kubernetes autoscaler that has learned to see load coming" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN rm -rf /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip*
ENV PATH="/opt/forescale/bin:${PATH}" HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["forescale"]

FROM runtime AS api
COPY --from=api-environment /opt/forescale /opt/forescale
EXPOSE 8080
CMD ["serve", "--host", "0.0.0.0", "--port", "8080"]

FROM runtime AS training
COPY --from=training-environment /opt/forescale /opt/forescale
CMD ["train", "--help"]

FROM runtime AS operator
COPY --from=operator-environment /opt/forescale /opt/forescale
EXPOSE 8080
CMD ["operator"]
