"""A mail server of aiosmtpd. Usage: smtpServer.py PORT CERT KEY USER PASSWORD FOLDER

It takes a login only over TLS, and mail only after a login. Each mail becomes a JSON file in FOLDER.
"""
import asyncio
import json
import ssl
import sys
from email import message_from_bytes, policy
from pathlib import Path

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

PORT, CERT, KEY, USER, PASSWORD, FOLDER = sys.argv[1:]


class Handler:
    async def handle_DATA(self, server, session, envelope):
        message = message_from_bytes(envelope.content, policy=policy.default)
        parts = [part for part in message.walk() if not part.is_multipart()]
        found = {
            "secure": session.ssl is not None,
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "subject": message["subject"],
            "defects": [repr(d) for part in message.walk() for d in part.defects],
            "parts": [
                {
                    "type": part.get_content_type(),
                    "file": part.get_filename() or "",
                    "text": part.get_content(),
                }
                for part in parts
            ],
        }
        number = len(list(Path(FOLDER).glob("*.json")))
        Path(FOLDER, f"{number}.json").write_text(json.dumps(found))
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data == LoginPassword(USER.encode(), PASSWORD.encode())
    # Unless it is said, the server gives no answer to a login that failed.
    return AuthResult(success=good, handled=False)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERT, KEY)

    def factory():
        return SMTP(
            Handler(),
            tls_context=context,
            require_starttls=True,
            auth_required=True,
            authenticator=authenticate,
        )

    server = await asyncio.get_running_loop().create_server(factory, "127.0.0.1", int(PORT))
    await server.serve_forever()


asyncio.run(main())
