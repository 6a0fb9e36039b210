"""A milter that does everything the protocol has, told by the Subject what to do. Arguments: where to listen."""
import sys

import Milter


class EveryAction(Milter.Base):
    def __init__(self):
        self.subject = ""
        self.seen = []

    def connect(self, name, family, address):
        self.seen.append("connect %s %s" % (name, address[0] if address else "-"))
        return Milter.CONTINUE

    def hello(self, name):
        self.seen.append("hello %s" % name)
        return Milter.CONTINUE

    def envfrom(self, address, *parameters):
        self.subject, self.length = "", 0
        self.seen.append("from %s %s" % (address, self.getsymval("i")))
        return Milter.CONTINUE

    def envrcpt(self, address, *parameters):
        if "refused" in address:
            self.setreply("550", "5.1.1", "not here: 100%% sure")
            return Milter.REJECT
        self.seen.append("to %s" % address)
        return Milter.CONTINUE

    def header(self, name, value):
        if name.lower() == "subject":
            self.subject = value.strip()
        return Milter.CONTINUE

    def eoh(self):
        return Milter.CONTINUE

    def body(self, chunk):
        self.length += len(chunk)
        return Milter.CONTINUE

    def eom(self):
        word = self.subject
        if word == "reject":
            return Milter.REJECT
        if word == "tempfail":
            return Milter.TEMPFAIL
        if word == "discard":
            return Milter.DISCARD
        if word == "reply":
            self.setreply("554", "5.7.9", "first line", "second line")
            return Milter.REJECT
        if word == "quarantine":
            self.quarantine("for a person")
        if word == "elsewhere":
            self.delrcpt("<bob@here.test>")
            self.addrcpt("<alice@here.test>")
        if word == "nobody":
            self.delrcpt("<bob@here.test>")
        if word == "everything":
            self.addheader("X-Seen", "; ".join(self.seen))
            self.addheader("X-Length", str(self.length))
            self.addheader("X-First", "yes", 0)
            self.chgheader("X-Many", 2, "changed")
            self.chgheader("X-Many", 1, "")
            self.chgfrom("<other@there.example>")
            self.addrcpt("<more@here.example>")
            self.delrcpt("<b@here.example>")
            self.replacebody(b"another body\r\n" * 10000)
            self.progress()
        return Milter.ACCEPT


Milter.factory = EveryAction
Milter.set_flags(Milter.ADDHDRS | Milter.CHGHDRS | Milter.CHGBODY | Milter.ADDRCPT | Milter.DELRCPT | Milter.CHGFROM | Milter.QUARANTINE)
Milter.runmilter("every", sys.argv[1], 30)
