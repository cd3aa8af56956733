"""Prints the token that MSAL for Python gets with the credential that CREDENTIAL names."""

import os
import sys

import msal

env = os.environ
if env["CREDENTIAL"] == "certificate":
    with open(env["KEY_FILE"], encoding="utf-8") as key_file:
        credential = {"private_key": key_file.read(), "thumbprint": env["THUMBPRINT"]}
else:
    credential = env["CLIENT_SECRET"]

client = msal.ConfidentialClientApplication(
    env["CLIENT_ID"],
    authority=env["AUTHORITY"],
    client_credential=credential,
    verify=env["CA_FILE"],
    validate_authority=False,
)
answer = client.acquire_token_for_client(scopes=[env["SCOPE"]])
if "access_token" not in answer:
    sys.exit(str(answer))
print(answer["access_token"])
