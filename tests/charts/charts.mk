# The chart without a cluster: `make chart-run` runs its pods on this machine, `make chart-apply` also installs it at a real
# API server. Both need root; helm on PATH or in PENSTOCK_HELM; iproute2, nftables, runc, redis-tools; the second one Go.
KUBERNETES_VERSION := v1.36.3
KUBERNETES := .tools/kubernetes
VERSION_PACKAGE := k8s.io/component-base/version
KUBERNETES_FLAGS := -s -w -X $(VERSION_PACKAGE).gitVersion=$(KUBERNETES_VERSION) \
  -X $(VERSION_PACKAGE).gitMajor=1 -X $(VERSION_PACKAGE).gitMinor=36
BUILD := cd tests/charts/apiserver/modules && GOFLAGS='-buildvcs=false -p=2' nice go build

.PHONY: chart-run chart-apply

chart-run: $(STAMP)      ## the chart's pods on this machine, with the long loads; figures in benchmarks/soak.md
	PENSTOCK_REQUIRE_CHART_RUN=1 $(BIN)/python -m pytest tests/charts/run -n 0 -m 'soak or not soak'

chart-apply: $(STAMP) $(KUBERNETES)/etcd $(KUBERNETES)/kube-apiserver $(KUBERNETES)/kube-controller-manager
	PENSTOCK_REQUIRE_CHART_APPLY=1 $(BIN)/python -m pytest tests/charts/apiserver -n 0

$(KUBERNETES)/etcd: tests/charts/apiserver/modules/go.mod
	$(BUILD) -ldflags '-s -w' -o $(CURDIR)/$@ go.etcd.io/etcd/server/v3

$(KUBERNETES)/kube-%: tests/charts/apiserver/modules/go.mod
	$(BUILD) -ldflags '$(KUBERNETES_FLAGS)' -o $(CURDIR)/$@ k8s.io/kubernetes/cmd/kube-$*
