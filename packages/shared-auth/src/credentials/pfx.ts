import type forge from 'node-forge';

/** Takes a PKCS #12 file (RFC 7292) apart: PEM of its private key and of its certificates. */
export const pemOfPfx = async (pfx: Buffer, password: string): Promise<string> => {
  // Loaded here: few use such files.
  const { asn1, pki, pkcs12, util } = (await import('node-forge')).default;
  const store = pkcs12.pkcs12FromAsn1(asn1.fromDer(util.createBuffer(pfx.toString('binary'))), password);
  const bagsOf = (type: string | undefined): forge.pkcs12.Bag[] =>
    type === undefined ? [] : (store.getBags({ bagType: type })[type] ?? []);
  const keys = [...bagsOf(pki.oids['pkcs8ShroudedKeyBag']), ...bagsOf(pki.oids['keyBag'])]
    .map(({ key }) => key)
    .filter((key) => key !== undefined && key !== null);
  const certificates = bagsOf(pki.oids['certBag'])
    .map(({ cert }) => cert)
    .filter((cert) => cert !== undefined);
  return [
    ...keys.map((key) => pki.privateKeyToPem(key)),
    ...certificates.map((cert) => pki.certificateToPem(cert)),
  ].join('\n');
};
