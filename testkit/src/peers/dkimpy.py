"""Signs and verifies by dkimpy, asking one name server: reads one request of JSON a line, writes one answer a line."""

import base64
import json
import sys

import dkim
import dns.exception
import dns.resolver

resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers, resolver.port, resolver.lifetime = ["127.0.0.1"], int(sys.argv[1]), 5


def text(name, timeout=5):
    try:
        answer = resolver.resolve(name.decode(), "TXT")
    except dns.exception.DNSException:
        return None
    return b"".join(list(answer)[0].strings)


def sign(message, ask):
    algorithm = ask["algorithm"].encode()
    key = ask["key"].encode()
    return dkim.sign(
        message,
        ask["selector"].encode(),
        ask["domain"].encode(),
        key,
        identity=ask.get("identity", "").encode() or None,
        canonicalize=(ask["header"].encode(), ask["body"].encode()),
        signature_algorithm=algorithm,
        include_headers=[name.encode() for name in ask["fields"]],
        length=ask.get("length", False),
    ).decode()


def seal(message, ask):
    fields = dkim.arc_sign(
        message, ask["selector"].encode(), ask["domain"].encode(), ask["key"].encode(), ask["results_of"].encode()
    )
    return b"".join(fields).decode()


for line in sys.stdin:
    ask = json.loads(line)
    message = ask["message"].encode()
    try:
        if ask["do"] == "sign":
            answer = sign(message, ask)
        elif ask["do"] == "seal":
            answer = seal(message, ask)
        elif ask["do"] == "arc":
            result, _, reason = dkim.arc_verify(message, dnsfunc=text)
            # Nothing where a seal says itself that the chain is broken.
            answer = ["" if result is None else result.decode(), reason]
        elif ask["do"] == "verify-all":
            signed = dkim.DKIM(message)
            count = sum(name.lower() == b"dkim-signature" for name, _ in signed.headers)
            answer = []
            for number in range(count):
                try:
                    answer.append(dkim.DKIM(message).verify(idx=number, dnsfunc=text))
                except dkim.DKIMException:
                    answer.append(False)
        else:
            answer = dkim.verify(message, dnsfunc=text)
    except dkim.DKIMException as error:
        answer = [False, str(error)]
    print(json.dumps(answer))
