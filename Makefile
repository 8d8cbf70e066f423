# What a person or CI does with a checkout. Every target sets up what it needs by itself; `make help` lists them.
# The work is in scripts/: this file only names it.

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint docs bench guest-test guest-test-all guest-shell guest-kernel dist setup clean
PYTHON ?= python3
export PYTHON
# Python reads the path of a checkout in the locale's encoding (site-packages/*.pth), and C's is ASCII.
test test-all lint docs bench guest-test guest-test-all dist: export LC_ALL := C.UTF-8

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

demo: ## record a workload whose hot memory moves; print its working set and heatmap
	@scripts/setup demo
	@scripts/demo

test: ## the check: lint, types, tests on the wheel, newer Pythons, sanitizers, guests; 10 to 14 minutes
	@scripts/setup dev browser
	@.venv/bin/python -m scripts.check

test-all: ## all there is: slow tests, every kernel and interpreter; RESUME=1 goes on with a run that was interrupted
	@scripts/setup dev browser
	@.venv/bin/python -m scripts.check --all $(if $(filter-out 0 no false off,$(RESUME)),--resume)

lint: ## ruff, mypy, gcc's analyser, the changelog and the site alone
	@scripts/setup dev
	@.venv/bin/python -m scripts.check lint types docs

docs: ## these documents as a site, without a network
	@scripts/setup docs
	@.venv/bin/python -m scripts.check docs

bench: ## the figures in docs/
	@scripts/setup dev
	@.venv/bin/python -m bench

guest-test: ## the tests that need a kernel of their own, in a QEMU guest
	@scripts/setup dev guest
	@.venv/bin/python -m scripts.guest test

guest-test-all: ## the same with the long ones
	@scripts/setup dev guest
	@.venv/bin/python -m scripts.guest test --all

guest-shell: ## a root prompt in that guest (KERNEL=PATH, SMP=, MEM=, APPEND=)
	@scripts/setup dev guest
	@.venv/bin/python -m scripts.guest shell

guest-kernel: ## build a kernel for the guest from apt's kernel sources (about 20 minutes, kept in ~/.cache/udamon)
	@scripts/guest/build-kernel

dist: ## what people install, in dist/: archive, wheels, Debian packages, RPMs, image (about 7 minutes)
	@scripts/setup dev dist
	@.venv/bin/python -m scripts.dist

setup: ## only make .venv with everything for development
	@scripts/setup dev

clean: ## remove what the targets above made here (kernels built for the guest are kept in ~/.cache/udamon)
	rm -rf .venv .work build dist docs/generated src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests bench scripts -name __pycache__ -prune -exec rm -rf {} +
	find src -name '*.so' -delete
