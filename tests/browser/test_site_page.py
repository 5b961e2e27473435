"""The site in a browser, opened as files: it fits a phone, is light or dark, can be searched, and asks nothing of a network."""

import pytest

pytestmark = pytest.mark.browser
PAGES = ("README.html", "docs/results.html", "docs/api.html", "notebooks/03_mean_or_max.html", "figures/across_gains.html")


@pytest.fixture
def opened(browser, book):
    """A function: a page of the site at a width, in a color scheme; what is not a file is refused, and noted in `page.asked`."""
    contexts = []

    def open_page(name, width=1024, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.failed = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("pageerror", lambda error: page.failed.append(str(error)))
        page.goto((book / name).as_uri() if "?" not in name else f"{(book / 'search.html').as_uri()}?{name.partition('?')[2]}")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [390, 1024, 1920])
def test_no_page_is_wider_than_the_screen_or_asks_a_network(opened, width):
    for name in PAGES:
        page = opened(name, width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert not page.failed and all(url.startswith(("file:", "data:")) for url in page.asked)
        assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)"), name


def test_on_a_phone_the_contents_are_behind_a_button(opened):
    page = opened("README.html", 390)
    lesson = page.get_by_role("link", name="Mean or max: who asks at the borders?").first
    assert not lesson.is_visible() or lesson.bounding_box()["x"] < 0
    page.locator(".mobile-header label[for=__navigation]:visible").click()
    page.wait_for_function("document.querySelector('.sidebar-drawer').getBoundingClientRect().x >= 0")
    lesson.click()
    page.wait_for_url("**/03_mean_or_max.html")


def test_it_is_as_light_or_dark_as_the_system_and_a_button_changes_it(opened):
    shade = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    light, dark = opened("README.html"), opened("README.html", scheme="dark")
    assert light.evaluate(shade) > 600 and dark.evaluate(shade) < 150
    for _ in range(2):  # auto, light, dark
        dark.locator("button.theme-toggle:visible").first.click()
    assert dark.evaluate("document.body.dataset.theme") in ("light", "dark")


def test_the_search_finds_a_lesson_without_a_server(opened):
    page = opened("search.html?q=class+debts")
    page.locator("#search-results li a").first.wait_for()
    found = page.locator("#search-results li a").all_inner_texts()
    assert any("Class debts" in text for text in found)


def test_the_address_of_the_folder_is_the_first_page_and_the_article_lies_there(opened, book):
    page = opened("index.html")
    page.wait_for_url("**/README.html")
    assert page.locator("h1").inner_text().startswith("OREAL") and (book / "article.pdf").read_bytes().startswith(b"%PDF")
    assert page.get_by_role("link", name="the article as PDF").get_attribute("href") == "article.pdf"
