// What docs/aks.md makes by `az`: the cluster, the registry, the database, the cache, the vault, identities and logs.
// No secret goes in or comes out: everything is reached by Entra ID.
//   az deployment group create --resource-group countersign --template-file infra/main.bicep --parameters administrator=<object id> administratorName=<name>
targetScope = 'resourceGroup'

@description('Lower-case letters and digits; names that have to be unique in Azure begin with it.')
@minLength(3)
@maxLength(14)
param name string = 'countersign'

param location string = resourceGroup().location

@description('AKS minor version.')
param kubernetesVersion string = '1.36'

param nodeSize string = 'Standard_D4ds_v5'

@minValue(3)
param minNodes int = 3

@minValue(3)
param maxNodes int = 9

param databaseSize string = 'Standard_D2ds_v5'

@description('Object id of the group or user in Entra ID that administers cluster, database and certificates.')
param administrator string

@description('Its name, for a user the principal name.')
param administratorName string

@allowed(['Group', 'User', 'ServicePrincipal'])
param administratorType string = 'Group'

@description('Whether to make Azure Managed Redis, for rate limits that gateways count together.')
param withRedis bool = true

@description('How long logs are kept, in days.')
@minValue(30)
@maxValue(730)
param logDays int = 30

var unique = '${name}${uniqueString(resourceGroup().id)}'
var namespace = 'countersign'
var roles = {
  acrPull: '7f951dda-4ed3-4680-a7ca-43fe172d538d'
  aksClusterAdmin: 'b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b'
  keyVaultCertificatesOfficer: 'a4417e6f-fecd-4de8-b567-7b0420556985'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  networkContributor: '4d97b98b-1d4f-4787-a291-c67834d212e7'
}
// Service accounts of the manifests that act as a managed identity. caller-api acts as its own app registration.
var identities = [
  { name: 'records-database', subject: 'system:serviceaccount:${namespace}:records-api' }
  { name: 'gateway-limits', subject: 'system:serviceaccount:${namespace}:gateway' }
  { name: 'certificate-reader', subject: 'system:serviceaccount:${namespace}-ingress:certificate-reader' }
]

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  properties: {
    addressSpace: { addressPrefixes: ['10.1.0.0/16'] }
    subnets: [
      { name: 'nodes', properties: { addressPrefix: '10.1.0.0/22' } }
      {
        name: 'database'
        properties: {
          addressPrefix: '10.1.4.0/28'
          delegations: [
            { name: 'postgres', properties: { serviceName: 'Microsoft.DBforPostgreSQL/flexibleServers' } }
          ]
        }
      }
      { name: 'endpoints', properties: { addressPrefix: '10.1.4.16/28' } }
    ]
  }
}

resource logs 'Microsoft.OperationalInsights/workspaces@2023-09-01' = {
  name: name
  location: location
  properties: { sku: { name: 'PerGB2018' }, retentionInDays: logDays }
}

resource metrics 'Microsoft.Monitor/accounts@2023-04-03' = {
  name: name
  location: location
}

resource registry 'Microsoft.ContainerRegistry/registries@2023-11-01-preview' = {
  name: unique
  location: location
  sku: { name: 'Standard' }
  properties: { adminUserEnabled: false, anonymousPullEnabled: false }
}

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: take(unique, 24)
  location: location
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
  }
}

resource clusterIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: '${name}-cluster'
  location: location
}

resource clusterOnNetwork 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(network.id, clusterIdentity.id, roles.networkContributor)
  scope: network
  properties: {
    principalId: clusterIdentity.properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.networkContributor)
  }
}

resource cluster 'Microsoft.ContainerService/managedClusters@2026-04-01' = {
  name: name
  location: location
  sku: { name: 'Base', tier: 'Standard' }
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${clusterIdentity.id}': {} } }
  dependsOn: [clusterOnNetwork]
  properties: {
    kubernetesVersion: kubernetesVersion
    dnsPrefix: name
    disableLocalAccounts: true
    aadProfile: { managed: true, enableAzureRBAC: true }
    oidcIssuerProfile: { enabled: true }
    securityProfile: { workloadIdentity: { enabled: true }, imageCleaner: { enabled: true, intervalHours: 168 } }
    autoUpgradeProfile: { upgradeChannel: 'patch', nodeOSUpgradeChannel: 'NodeImage' }
    networkProfile: {
      networkPlugin: 'azure'
      networkPluginMode: 'overlay'
      networkDataplane: 'cilium'
      networkPolicy: 'cilium'
      podCidr: '10.244.0.0/16'
      serviceCidr: '10.245.0.0/16'
      dnsServiceIP: '10.245.0.10'
    }
    agentPoolProfiles: [
      {
        name: 'system'
        mode: 'System'
        vmSize: nodeSize
        osSKU: 'AzureLinux'
        availabilityZones: ['1', '2', '3']
        enableAutoScaling: true
        count: minNodes
        minCount: minNodes
        maxCount: maxNodes
        vnetSubnetID: network.properties.subnets[0].id
        upgradeSettings: { maxSurge: '33%', drainTimeoutInMinutes: 30 }
      }
    ]
    addonProfiles: {
      azureKeyvaultSecretsProvider: { enabled: true, config: { enableSecretRotation: 'true' } }
      azurepolicy: { enabled: true }
      omsagent: { enabled: true, config: { logAnalyticsWorkspaceResourceID: logs.id, useAADAuth: 'true' } }
    }
    azureMonitorProfile: { metrics: { enabled: true } }
    ingressProfile: {
      gatewayAPI: { installation: 'Standard' }
      webAppRouting: {
        enabled: true
        nginx: { defaultIngressControllerType: 'None' }
        gatewayAPIImplementations: { appRoutingIstio: { mode: 'Enabled' } }
      }
    }
  }
}

// What the add-ons collect, and where it goes: without these two rules it goes nowhere.
resource logRule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: '${name}-logs'
  location: location
  kind: 'Linux'
  properties: {
    dataSources: {
      extensions: [
        {
          name: 'ContainerInsightsExtension'
          extensionName: 'ContainerInsights'
          streams: ['Microsoft-ContainerLogV2', 'Microsoft-KubeEvents', 'Microsoft-KubePodInventory']
          extensionSettings: {
            dataCollectionSettings: { interval: '1m', namespaceFilteringMode: 'Off', enableContainerLogV2: true }
          }
        }
      ]
    }
    destinations: { logAnalytics: [{ name: 'workspace', workspaceResourceId: logs.id }] }
    dataFlows: [
      {
        streams: ['Microsoft-ContainerLogV2', 'Microsoft-KubeEvents', 'Microsoft-KubePodInventory']
        destinations: ['workspace']
      }
    ]
  }
}

resource logsOfCluster 'Microsoft.Insights/dataCollectionRuleAssociations@2023-03-11' = {
  name: 'ContainerInsightsExtension'
  scope: cluster
  properties: { dataCollectionRuleId: logRule.id }
}

resource metricEndpoint 'Microsoft.Insights/dataCollectionEndpoints@2023-03-11' = {
  name: '${name}-metrics'
  location: location
  kind: 'Linux'
  properties: { networkAcls: { publicNetworkAccess: 'Enabled' } }
}

resource metricRule 'Microsoft.Insights/dataCollectionRules@2023-03-11' = {
  name: '${name}-metrics'
  location: location
  kind: 'Linux'
  properties: {
    dataCollectionEndpointId: metricEndpoint.id
    dataSources: { prometheusForwarder: [{ name: 'prometheus', streams: ['Microsoft-PrometheusMetrics'] }] }
    destinations: { monitoringAccounts: [{ name: 'workspace', accountResourceId: metrics.id }] }
    dataFlows: [{ streams: ['Microsoft-PrometheusMetrics'], destinations: ['workspace'] }]
  }
}

resource metricsOfCluster 'Microsoft.Insights/dataCollectionRuleAssociations@2023-03-11' = {
  name: 'ContainerInsightsMetricsExtension'
  scope: cluster
  properties: { dataCollectionRuleId: metricRule.id }
}

// The cluster has no accounts but Entra's.
resource administerCluster 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(cluster.id, administrator, roles.aksClusterAdmin)
  scope: cluster
  properties: {
    principalId: administrator
    principalType: administratorType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.aksClusterAdmin)
  }
}

resource administerCertificates 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, administrator, roles.keyVaultCertificatesOfficer)
  scope: vault
  properties: {
    principalId: administrator
    principalType: administratorType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultCertificatesOfficer)
  }
}

resource pull 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(registry.id, cluster.id, roles.acrPull)
  scope: registry
  properties: {
    principalId: cluster.properties.identityProfile.kubeletidentity.objectId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.acrPull)
  }
}

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = [
  for item in identities: { name: item.name, location: location }
]

resource federation 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = [
  for (item, index) in identities: {
    parent: identity[index]
    name: 'aks'
    properties: {
      issuer: cluster.properties.oidcIssuerProfile.issuerURL
      subject: item.subject
      audiences: ['api://AzureADTokenExchange']
    }
  }
]

resource readCertificate 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, 'certificate-reader', roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: identity[2].properties.principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}

resource databaseZone 'Microsoft.Network/privateDnsZones@2020-06-01' = {
  name: '${name}.private.postgres.database.azure.com'
  location: 'global'

  resource link 'virtualNetworkLinks' = {
    name: name
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
}

resource database 'Microsoft.DBforPostgreSQL/flexibleServers@2024-08-01' = {
  name: unique
  location: location
  sku: { name: databaseSize, tier: 'GeneralPurpose' }
  dependsOn: [databaseZone::link]
  properties: {
    version: '17'
    storage: { storageSizeGB: 32, autoGrow: 'Enabled' }
    authConfig: { activeDirectoryAuth: 'Enabled', passwordAuth: 'Disabled', tenantId: tenant().tenantId }
    highAvailability: { mode: 'ZoneRedundant' }
    backup: { backupRetentionDays: 14, geoRedundantBackup: 'Disabled' }
    network: {
      delegatedSubnetResourceId: network.properties.subnets[1].id
      privateDnsZoneArmResourceId: databaseZone.id
    }
  }

  resource records 'databases' = {
    name: 'records'
  }

  resource administrators 'administrators' = {
    name: administrator
    dependsOn: [records]
    properties: {
      principalName: administratorName
      principalType: administratorType
      tenantId: tenant().tenantId
    }
  }
}

resource redis 'Microsoft.Cache/redisEnterprise@2025-07-01' = if (withRedis) {
  name: unique
  location: location
  sku: { name: 'Balanced_B0' }
  properties: { minimumTlsVersion: '1.2', highAvailability: 'Enabled', publicNetworkAccess: 'Disabled' }

  resource counters 'databases' = {
    name: 'default'
    properties: {
      clientProtocol: 'Encrypted'
      port: 10000
      accessKeysAuthentication: 'Disabled'
      // One address for all shards: the gateway's client knows no others.
      clusteringPolicy: 'EnterpriseCluster'
      evictionPolicy: 'AllKeysLRU'
    }

    resource gateway 'accessPolicyAssignments' = {
      name: 'gatewaylimits'
      properties: { accessPolicyName: 'default', user: { objectId: identity[1].properties.principalId } }
    }
  }
}

resource redisZone 'Microsoft.Network/privateDnsZones@2020-06-01' = if (withRedis) {
  name: 'privatelink.redis.azure.net'
  location: 'global'

  resource link 'virtualNetworkLinks' = {
    name: name
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
}

resource redisEndpoint 'Microsoft.Network/privateEndpoints@2024-05-01' = if (withRedis) {
  name: '${name}-redis'
  location: location
  properties: {
    subnet: { id: network.properties.subnets[2].id }
    privateLinkServiceConnections: [
      { name: 'redis', properties: { privateLinkServiceId: redis.id, groupIds: ['redisEnterprise'] } }
    ]
  }

  resource names 'privateDnsZoneGroups' = {
    name: 'redis'
    properties: { privateDnsZoneConfigs: [{ name: 'redis', properties: { privateDnsZoneId: redisZone.id } }] }
  }
}

output registryName string = registry.properties.loginServer
output issuer string = cluster.properties.oidcIssuerProfile.issuerURL
output databaseUrl string = 'postgres://records-database@${database.properties.fullyQualifiedDomainName}:5432/records'
output databaseRange string = '10.1.4.0/28'
output rateLimitStoreUrl string = withRedis ? 'rediss://${identity[1].properties.principalId}@${redis!.properties.hostName}:10000' : ''
output rateLimitStoreRange string = '10.1.4.16/28'
output ingressRange string = '10.244.0.0/16'
output certificateUri string = '${vault.properties.vaultUri}certificates/countersign'
output identityClientIds array = [for (item, index) in identities: { name: item.name, clientId: identity[index].properties.clientId }]
output metricsEndpoint string = metrics.properties.metrics.prometheusQueryEndpoint
