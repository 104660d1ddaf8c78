"""Cloudflare's SDK, unmodified, with a client certificate, a Worker that presents it, and an API token.

  eval "$(npx countersign env)"
  pip install -r requirements.txt
  python main.py client.pem client.key
"""

import os
import sys

from cloudflare import BadRequestError, Cloudflare, NotFoundError, PermissionDeniedError

certificate_file, key_file = sys.argv[1:3]
client = Cloudflare()  # reads CLOUDFLARE_BASE_URL and CLOUDFLARE_API_TOKEN
account = os.environ["CLOUDFLARE_ACCOUNT_ID"]
CODE = "export default { fetch: (request, env) => Response.json(Object.keys(env)) };"
READ_SCRIPTS = "1a71c399035b4950a1bd1466bbe4f420"  # "Workers Scripts Read", Cloudflare's own id


def read(name: str) -> str:
    with open(name, encoding="utf-8") as file:
        return file.read()


def certificates() -> str:
    created = client.mtls_certificates.create(
        account_id=account, ca=False, name="python", certificates=read(certificate_file), private_key=read(key_file)
    )
    assert created.id and created.issuer, created
    found = client.mtls_certificates.get(created.id, account_id=account)
    assert found.name == "python" and found.serial_number == created.serial_number
    assert created.id in [one.id for one in client.mtls_certificates.list(account_id=account)]
    try:
        client.mtls_certificates.create(account_id=account, ca=False, certificates="no PEM", private_key="")
        raise AssertionError("a file that is no certificate was taken")
    except BadRequestError as error:
        assert "certificates" in str(error), error
    return created.id


def worker(certificate_id: str) -> None:
    scripts = client.workers.scripts
    metadata = {
        "main_module": "index.mjs",
        "compatibility_date": "2026-01-01",
        "bindings": [{"type": "mtls_certificate", "name": "CERT", "certificate_id": certificate_id}],
    }
    module = ("index.mjs", CODE.encode(), "application/javascript+module")
    uploaded = scripts.update("python", account_id=account, metadata=metadata, files=[module])
    assert uploaded.handlers == ["fetch"], uploaded
    assert "python" in [one.id for one in scripts.list(account_id=account)]
    settings = scripts.script_and_version_settings.get("python", account_id=account)
    assert settings.bindings and settings.bindings[0].name == "CERT", settings
    scripts.secrets.update("python", account_id=account, name="TOKEN", text="secret", type="secret_text")
    assert [one.name for one in scripts.secrets.list("python", account_id=account)] == ["TOKEN"]
    # Current versions of pydantic cannot parse the SDK's own type of this answer.
    raw = scripts.versions.with_raw_response.create(
        "python", account_id=account, metadata=metadata, files=[module]
    )
    version = raw.http_response.json()["result"]
    scripts.deployments.create(
        "python",
        account_id=account,
        strategy="percentage",
        versions=[{"version_id": version["id"], "percentage": 100}],
    )
    assert b"export default" in scripts.content.get("python", account_id=account).read()
    scripts.subdomain.create("python", account_id=account, enabled=True)


def tokens() -> None:
    policy = {
        "effect": "allow",
        "permission_groups": [{"id": READ_SCRIPTS}],
        "resources": {f"com.cloudflare.api.account.{account}": "*"},
    }
    for manager, where in ((client.user.tokens, {}), (client.accounts.tokens, {"account_id": account})):
        made = manager.create(name="python", policies=[policy], **where)
        narrow = Cloudflare(api_token=made.value)
        assert narrow.accounts.tokens.verify(account_id=account).status == "active"
        assert "python" in [one.id for one in narrow.workers.scripts.list(account_id=account)]
        try:
            narrow.workers.scripts.delete("python", account_id=account)
            raise AssertionError("a token that reads deleted a Worker")
        except PermissionDeniedError:
            pass
        assert made.id in [one.id for one in manager.list(**where)]
        value = manager.value.update(made.id, **where)
        assert Cloudflare(api_token=value).user.tokens.verify().id == made.id
        manager.delete(made.id, **where)
        try:
            manager.get(made.id, **where)
            raise AssertionError("a token that was deleted is there")
        except NotFoundError:
            pass


bound = certificates()
worker(bound)
tokens()
if "--keep" not in sys.argv:
    client.workers.scripts.delete("python", account_id=account)
    client.mtls_certificates.delete(bound, account_id=account)
print("certificates, the Worker and tokens: done")
