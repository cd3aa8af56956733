const named = (checker: string, names: string): string[] =>
  names.split(/\s+/).map((name) => `${checker}/${name}`);

/** The checks of the usual checkers that the manifests are to pass, by the names that the checkers give them. */
export const checkNames: readonly string[] = [
  ...named(
    'kube-score',
    `container-resources container-image-tag container-image-pull-policy container-ephemeral-storage-request-and-limit
    environment-variable-key-duplication deployment-has-poddisruptionbudget poddisruptionbudget-has-policy
    pod-networkpolicy networkpolicy-targets-pod pod-probes pod-probes-identical
    container-security-context-user-group-id container-security-context-privileged
    container-security-context-readonlyrootfilesystem service-targets-pod service-type stable-version
    deployment-has-host-podantiaffinity deployment-replicas deployment-strategy
    deployment-targeted-by-hpa-does-not-have-replicas-configured horizontalpodautoscaler-has-target
    horizontalpodautoscaler-replicas pod-topology-spread-constraints statefulset-has-servicename label-values
    container-seccomp-profile container-ports-check`,
  ),
  ...named(
    'kube-linter',
    `dangling-service dangling-networkpolicy dangling-ingress dangling-horizontalpodautoscaler
    dangling-networkpolicypeer-podselector default-service-account deprecated-service-account-field
    drop-net-raw-capability duplicate-env-var env-var-secret read-secret-from-env-var invalid-target-ports
    liveness-port readiness-port startup-port job-ttl-seconds-after-finished mismatching-selector no-anti-affinity
    no-liveness-probe no-readiness-probe no-read-only-root-fs no-rolling-update-strategy non-existent-service-account
    non-isolated-pod pdb-max-unavailable pdb-min-available pdb-unhealthy-pod-eviction-policy
    privilege-escalation-container privileged-ports run-as-non-root unset-cpu-requirements unset-memory-requirements
    use-namespace required-label-owner wildcard-in-rules access-to-secrets`,
  ),
  ...named(
    'polaris',
    `automountServiceAccountToken linuxHardening missingNetworkPolicy missingPodDisruptionBudget pdbDisruptionsIsZero
    pdbMinAvailableGreaterThanHPAMinReplicas hpaMinAvailability hpaMaxAvailability topologySpreadConstraint
    priorityClassNotSet pullPolicyNotAlways metadataAndInstanceMismatched sensitiveContainerEnvVar
    sensitiveConfigmapContent tlsSettingsMissing gatewayTLSMissing gatewayAllowedRoutesAll httpRouteInsecureListener
    httpRouteWildcardOrEmptyHost httpRouteCrossNamespaceBackendRef httpRouteBackendTLSMissing`,
  ),
  ...named(
    'kubescape',
    `C-0012 C-0013 C-0016 C-0017 C-0030 C-0034 C-0044 C-0046 C-0054 C-0055 C-0057 C-0270 C-0271 C-0292 C-0207 C-0260
    C-0078`,
  ),
  ...named(
    'checkov',
    `CKV_K8S_8 CKV_K8S_9 CKV_K8S_10 CKV_K8S_11 CKV_K8S_12 CKV_K8S_13 CKV_K8S_14 CKV_K8S_15 CKV_K8S_16 CKV_K8S_20
    CKV_K8S_21 CKV_K8S_22 CKV_K8S_23 CKV_K8S_28 CKV_K8S_29 CKV_K8S_30 CKV_K8S_31 CKV_K8S_35 CKV_K8S_37 CKV_K8S_38
    CKV_K8S_40 CKV_K8S_41 CKV_K8S_42 CKV_K8S_43 CKV_K8S_49`,
  ),
  // AKS deployment safeguards, in Enforce mode.
  ...named(
    'safeguards',
    `resource-requests resource-minimum no-latest-image allowed-images enforce-probes anti-affinity-or-spread
    unique-service-selectors no-aks-labels csi-driver pod-disruption-budget`,
  ),
  ...named('pod-security', 'enforce-restricted restricted-volumes'),
  ...named(
    'countersign',
    'no-secret workload-identity access addresses ports drain scale quota migration-first',
  ),
];
