/** What a page in a browser comes with, unless its route says otherwise. A flat list. */
export const securityHeadersOfPages: readonly string[] = [
  ...['X-Content-Type-Options', 'nosniff'], // a text stays a text
  ...['X-Frame-Options', 'DENY'], // for browsers without frame-ancestors
  ...['Referrer-Policy', 'no-referrer'], // addresses may hold what others need not see
  ...['Cross-Origin-Opener-Policy', 'same-origin'], // no handle on the window for other sites
  ...['Cross-Origin-Resource-Policy', 'same-origin'], // not embedded elsewhere
];
