"""zeep, a client that reads the WSDL, calls the service over a socket through both bindings."""

from decimal import Decimal

import pytest
import zeep
from lxml import etree
from soap_service import NS, PROCESSES, Broken, OrderNotFound, mount, operations, types
from zeep.exceptions import Fault, TransportError

from gateway.frontend.soap import wsdl


def client_of(url: str, port: str) -> zeep.Client:
    return zeep.Client(f"{url}?wsdl", service_name="shop-v2", port_name=f"shop-v2-{port}")


@pytest.fixture(params=["soap11", "soap12"])
def port(request):
    return request.param


def test_zeep_calls_an_operation(serve, port):
    with client_of(serve(mount(), PROCESSES), port) as client:
        order = client.service.get_order(id=7)
    assert (order.id, order.state, order.note) == (7, "open", None)
    assert [(line.sku, line.count) for line in order.lines] == [("a", 2)]


def test_zeep_sends_a_record(serve, port):
    seen = []

    def create(order):
        seen.append(order)
        return order["id"]

    with client_of(serve(mount(), {"create_order": create}), port) as client:
        order = {
            "id": 5,
            "state": "sent_out",
            "total": Decimal("10.50"),
            "lines": [{"sku": "é", "count": 1}, {"sku": "b", "count": 2}],
            "part_of": {"id": 1, "state": "paid", "lines": []},
        }
        assert client.service.create_order(order=order) == 5
    assert seen[0]["total"] == Decimal("10.50")
    assert seen[0]["lines"] == [{"sku": "é", "count": 1}, {"sku": "b", "count": 2}]


def test_zeep_calls_an_operation_without_output(serve, port):
    with client_of(serve(mount(), PROCESSES), port) as client:
        assert client.service.forget(id=1) is None


def test_zeep_sees_a_typed_fault(serve, port):
    def fail(id):
        raise OrderNotFound("No order 7.", target="$.id")

    with client_of(serve(mount(), {"get_order": fail}), port) as client:
        with pytest.raises(Fault) as caught:
            client.service.get_order(id=7)
        detail = caught.value.detail[0]
        assert detail.tag == f"{{{NS}}}OrderNotFound"
        parsed = client.get_element(detail.tag).parse(detail, client.wsdl.types)
    assert caught.value.message == "No order 7."
    assert (parsed.code, parsed.title, parsed.target) == ("OrderNotFound", "No such order", "$.id")


def test_zeep_sees_who_is_at_fault(serve):
    def fail(id):
        raise Broken

    with client_of(serve(mount(), {"get_order": fail}), "soap12") as client, pytest.raises(Fault) as caught:
        client.service.get_order(id=7)
    assert caught.value.code == "soap:Receiver"
    assert [subcode.localname for subcode in caught.value.subcodes] == ["Broken"]


def test_faults_match_the_wsdls_schema(serve, port):
    """What zeep received is valid by the schema of the WSDL."""

    def fail(id):
        raise OrderNotFound("gone")

    with client_of(serve(mount(), {"get_order": fail}), port) as client, pytest.raises(Fault) as caught:
        client.service.get_order(id=7)
    etree.XMLSchema(wsdl.xsd(NS, operations(), types())).assertValid(caught.value.detail[0])


def test_a_document_that_is_not_there_is_no_wsdl(serve):
    with pytest.raises((TransportError, zeep.exceptions.Error, OSError)):
        zeep.Client(f"{serve(mount(), PROCESSES)}?disco")
