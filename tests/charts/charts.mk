# The chart without a cluster: `make chart-run` runs its pods on this machine, `make chart-apply` also installs it at a
# real API server. Both need root, iproute2, nftables, runc, redis-tools and Go, with which helm is built.
KUBERNETES_VERSION := v1.36.3
KUBERNETES := .tools/kubernetes
VERSION_PACKAGE := k8s.io/component-base/version
KUBERNETES_FLAGS := -s -w -X $(VERSION_PACKAGE).gitVersion=$(KUBERNETES_VERSION) \
  -X $(VERSION_PACKAGE).gitMajor=1 -X $(VERSION_PACKAGE).gitMinor=36
CHART_TOOLS := tools="$$(bash tests/charts/install)" && PATH="$$tools/bin:$$PATH" PENSTOCK_CRDS="$$tools/crds"
BUILD := cd tests/charts/apiserver/modules && GOFLAGS='-buildvcs=false -p=2' nice go build

.PHONY: chart-run chart-apply

# With the image's own root: make .tools/image/image.json, and PENSTOCK_IMAGE=.tools/image/image.json make chart-run
chart-run: $(STAMP)      ## the chart's pods on this machine, with the long loads; figures in benchmarks/soak.md
	$(CHART_TOOLS) PENSTOCK_REQUIRE_CHART_RUN=1 $(BIN)/python -m pytest tests/charts/run -n 0 -m 'soak or not soak'

chart-apply: $(STAMP) $(KUBERNETES)/etcd $(KUBERNETES)/kube-apiserver $(KUBERNETES)/kube-controller-manager
	$(CHART_TOOLS) PENSTOCK_REQUIRE_CHART_APPLY=1 $(BIN)/python -m pytest tests/charts/apiserver -n 0 -m soak

$(KUBERNETES)/etcd: tests/charts/apiserver/modules/go.mod
	$(BUILD) -ldflags '-s -w' -o $(CURDIR)/$@ go.etcd.io/etcd/server/v3

$(KUBERNETES)/kube-%: tests/charts/apiserver/modules/go.mod
	$(BUILD) -ldflags '$(KUBERNETES_FLAGS)' -o $(CURDIR)/$@ k8s.io/kubernetes/cmd/kube-$*

.tools/image/image.json: Dockerfile requirements.lock
	$(BIN)/python -m tests.charts.run.image_root .tools/image
