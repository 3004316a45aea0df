# Targets for a Kubernetes cluster, which the Makefile includes. Each takes OVERLAY, the name of a folder in
# overlays/, and DRY_RUN=1, which prints the commands that would change something and runs none of them. Which
# cluster it is, kubectl decides: `kubectl config current-context`.

OVERLAY ?= production
export OVERLAY DRY_RUN UV
CLUSTER := $(TOOLS) deploy.kubernetes

{% if cookiecutter.tasks == "database" %}
# As in base/server.env.
WORKER_REPLICAS ?= 1

{% endif %}
.PHONY: k8s-render k8s-validate k8s-deploy k8s-rollback plan

k8s-render: | $(UV)  ## print what a cluster would be given [OVERLAY=]
	@$(CLUSTER) render

k8s-validate: | $(UV)  ## check it against the schemas of Kubernetes, offline [OVERLAY=]
	@$(CLUSTER) validate

k8s-deploy: $(if $(filter-out 0,$(DRY_RUN)),| $(UV),.env uv.lock)  ## build, push, migrate, replace the pods and wait; undone where it fails [OVERLAY=, DIGEST=, DRY_RUN=1]
	@$(WITH_ENV) $(CLUSTER) deploy

k8s-rollback: | $(UV)  ## put back the pods of before [OVERLAY=, REVISION=, DRY_RUN=1]
	@$(CLUSTER) rollback $(REVISION)

plan: | $(UV)  ## print how many pods, threads and connections a load takes [REQUESTS=, VIEW_MS=, CPU_MS=, CONNECTIONS=]
	@REQUESTS="$(REQUESTS)" VIEW_MS="$(VIEW_MS)" CPU_MS="$(CPU_MS)" CONNECTIONS="$(CONNECTIONS)" \
		WORKER_REPLICAS="$(WORKER_REPLICAS)" WORKER_CONCURRENCY="$(WORKER_CONCURRENCY)" $(TOOLS) deploy.plan
