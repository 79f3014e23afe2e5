// An OpenID provider for the tests: `node provider.js`, told by PROVIDER (JSON: port, clients); prints a line when it
// listens, and ends with its standard input. Its own development pages ask for name and consent.
import Provider from "oidc-provider";

const told = JSON.parse(process.env.PROVIDER);
const issuer = `http://127.0.0.1:${told.port}`;
const resource = "urn:penstock:shop";

const provider = new Provider(issuer, {
  clients: told.clients,
  cookies: { keys: ["only for tests"] },
  claims: { openid: ["sub"], profile: ["name"] },
  findAccount: async (_context, id) => ({ accountId: id, claims: async () => ({ sub: id, name: `Person ${id}` }) }),
  // Of an access token: who is named after a team is in it.
  extraTokenClaims: async (_context, token) =>
    token.accountId ? { roles: [token.accountId.split("-")[0]], email: `${token.accountId}@example.com` } : undefined,
  issueRefreshToken: async (_context, client) => client.grantTypeAllowed("refresh_token"),
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    rpInitiatedLogout: { enabled: true },
    deviceFlow: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => false,
      getResourceServerInfo: (_context, asked) => ({
        scope: "read write openid",
        audience: asked === resource ? "shop" : "penstock",
        accessTokenFormat: asked.endsWith(":opaque") ? "opaque" : "jwt",
      }),
    },
  },
  scopes: ["openid", "profile", "read", "write", "offline_access"],
  pkce: { required: () => true },
});

provider.listen(told.port, "127.0.0.1", () => console.log(`ready ${issuer} ${resource}`));
process.stdin.on("end", () => process.exit(0)).resume();
