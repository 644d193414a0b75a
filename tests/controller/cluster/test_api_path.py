import pytest

from controller.cluster.api_path import is_safe, namespace_of, resource_of

WEB = "/apis/apps/v1/namespaces/shop/deployments/web"


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        (f"{WEB}/scale", "deployments/scale"),
        (WEB, "deployments"),
        ("/apis/apps/v1/deployments", "deployments"),
        ("/api/v1/namespaces/shop/events", "events"),
        ("/api/v1/namespaces/shop", "namespaces"),
        ("/api/v1/nodes/n1/status", "other/status"),
        ("/apis/user.example/v1/namespaces/shop/gizmos/g/scale", "other/scale"),
        (f"{WEB}/anything", "deployments"),
        ("/apis/apps/v1", "discovery"),
        ("/version", "discovery"),
        ("/", "discovery"),
    ],
)
def test_labels_come_from_a_small_set(path, resource):
    assert resource_of(path) == resource


@pytest.mark.parametrize("path", [WEB, f"{WEB}/scale", "/apis/a.b/v1/x/a..b", "/api/v1/x/system:node"])
def test_names_are_sent(path):
    assert is_safe(path)


@pytest.mark.parametrize(
    "end",
    [
        "?dryRun=All",
        "/../secrets",
        "/./x",
        "/..",
        "//x",
        "/",
        "#x",
        "/%2e%2e",
        "/a b",
        "/a\n",
        "\n",
        "/ä",
        "/a\\b",
        "@h",
    ],
)
def test_whatever_is_more_than_a_name_is_not(end):
    assert not is_safe(WEB + end)
    assert not is_safe("http://other" + WEB)


@pytest.mark.parametrize(
    ("path", "namespace"),
    [
        (WEB, "shop"),
        (f"{WEB}/scale", "shop"),
        ("/api/v1/namespaces/shop/events", "shop"),
        ("/api/v1/namespaces/shop", ""),
        ("/apis/apps/v1/deployments", ""),
        ("/apis/apps/v1", ""),
        ("/apis", ""),
    ],
)
def test_a_path_names_the_namespace_that_it_is_in(path, namespace):
    assert namespace_of(path) == namespace
