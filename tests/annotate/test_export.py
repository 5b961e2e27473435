"""What comes out of a session, and what the network that comes with it does to other pictures."""

import csv
import json

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from pycocotools.coco import COCO

from oreal_lib.annotate import rounds, training
from oreal_lib.annotate.out import export as exporting
from oreal_lib.annotate.out.export import export
from oreal_lib.annotate.out.overlay import blend
from oreal_lib.annotate.out.predictions import predict_folder
from oreal_lib.annotate.pictures import key
from oreal_lib.annotate.saved import read_session
from oreal_lib.annotate.session import open_session
from oreal_lib.config import RunConfig
from oreal_lib.data import open_source
from oreal_lib.data.check import check
from oreal_lib.data.files import read_mask
from oreal_lib.data.resize import nearest, resized
from oreal_lib.draw import class_palette
from oreal_lib.predict import to_input
from oreal_lib.setting import network
from oreal_lib.storage import atomic, checked
from oreal_lib.storage.progress import lines_to

ROAD, CAR = 0, 1
SIX = {"superpixel_method": "grid", "superpixel_count": 6, "workers": 1, "live": False}


@pytest.fixture
def folder(tmp_path):
    """a: 40x60 (high x wide).  b: lies on its side, 60x40 in the file.  c: 90x60, worked on at 60x40.  Käfer 1: 16 bits."""
    images = tmp_path / "photos" / "images"
    (images / "süd west").mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 255, (90, 60, 3), np.uint8)
    Image.fromarray(noise[:40]).save(images / "a.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # shown turned by 90 degrees
    Image.fromarray(noise[:40]).save(images / "b.jpg", exif=turned)
    Image.fromarray(noise).save(images / "c.png")
    Image.fromarray(noise[:40, :, 0].astype(np.uint16) * 257).save(images / "süd west" / "Käfer 1.tif")
    return images.parent


@pytest.fixture
def session(folder):
    """a is cut into 2 x 3 squares of 20 pixels, b and c into 3 x 2."""
    session = open_session(folder, ["road", "car"], side=60, **SIX)
    return session


def trained(session, seen):
    """Round 2 as a training leaves it; `seen`: the class that it predicts everywhere."""
    home = rounds.folder_of(session.home, 2)
    config = session.config.model_copy(update={"height": 32})
    torch.manual_seed(0)
    model = network(config, 2).eval()
    with torch.no_grad():
        small = resized(np.array(session.pictures[picture_of(session, "c")].image()), (32, 21))
        z = model(to_input(small[None], torch.device("cpu")))[0]
        model.net.classifier.bias[1] += (z[0] - z[1]).median()  # as many pixels of one class as of the other
    atomic.write_bytes(home / "weights.safetensors", checked.dump_tensors(model.state_dict()))
    for picture in session.pictures:
        (home / "views").mkdir(exist_ok=True)
        view = np.full(picture.size, seen, np.uint8)
        np.savez_compressed(home / "views" / f"{key(picture.name)}.npz", predicted=view, unsure=view)
    rounds.write_query(session.home, 2, session.board, None, len(session.log.events))
    checked.write(home / "request.json", {"config": config.values(), "log": len(session.log.events), "round": 2})
    checked.write(home / "done.json", {"round": 2, "classes": ["road", "car"], "versions": {"torch": "any"}})
    session.refresh()


def picture_of(session, name):
    return next(i for i, picture in enumerate(session.pictures) if picture.name == name)


def pixels(file):
    return np.asarray(Image.open(file))


def test_masks_come_out_at_full_size_the_way_up_the_picture_is_shown(session):
    for name in ("a", "b", "c", "süd west/Käfer 1"):
        session.act("label", picture_of(session, name), [0], to="car")
    out = export(session).out
    assert pixels(out / "masks/a.png").shape == (40, 60)
    assert pixels(out / "masks/b.png").shape == (60, 40)
    assert pixels(out / "masks/süd west/Käfer 1.png").shape == (40, 60)
    c = pixels(out / "masks/c.png")
    assert c.shape == (90, 60)
    assert (c[:30, :30] == CAR).all() and (c[30:] == 255).all() and (c[:, 30:] == 255).all()  # 20 x 20 pixels, 1.5 times as large


def test_a_mask_holds_clicks_first_then_predictions_and_labels_hold_clicks_only(session):
    a = picture_of(session, "a")
    session.act("label", a, [0], to="road")
    session.act("label", a, [1], to="void")
    trained(session, CAR)
    done = export(session)
    mask, labels = pixels(done.out / "masks/a.png"), pixels(done.out / "labels/a.png")
    assert (mask[10, 10], mask[10, 30], mask[10, 50]) == (ROAD, 255, CAR)
    assert (labels[10, 10], labels[10, 30], labels[10, 50]) == (ROAD, 255, 255)
    assert (done.labeled, done.predicted, done.round, done.problems) == (2, 4, 2, ())


def test_accepted_predictions_are_told_from_clicks_also_in_the_pieces_of_a_split(session):
    a = picture_of(session, "a")
    trained(session, CAR)
    session.act("label", a, [0], to="car")
    session.act("all", a, [1, 2, 3], ["car"] * 3, how="all")
    session.act("accept", a, [4], how="key")
    session.act("split", a, [2])
    session.act("label", a, [3], to="road")  # corrected by a click
    session.act("all", a, [5], ["car"], how="all")
    session.act("undo")
    done = export(session)
    assert done.pixels[:2] == (2 * 400, 3 * 400) and sum(done.pixels) == 3 * 2400 + 5400
    assert done.shares.startswith("800 clicked (6%), 1,200 accepted (10%), ")


def test_what_is_damaged_is_left_out_and_named(session):
    trained(session, CAR)
    (rounds.folder_of(session.home, 2) / "views" / f"{key('a')}.npz").write_bytes(b"torn")
    (session.work / "pictures" / f"{key('b')}.ids.npy").write_bytes(b"torn")
    done = export(session)
    assert (done.pictures, done.predicted) == (3, 2) and not (done.out / "masks/b.png").exists()
    assert "mask of a holds the clicks only" in done.problems[0] and done.problems[1].startswith("b is left out")
    trained(session, 2)  # a class that this session does not know
    done = export(session)
    assert done.predicted == 0 and len(done.problems) == 5 and "open the session again" in done.problems[0]


def test_with_the_pictures_beside_them_the_masks_are_a_data_set_of_this_library(session, folder):
    for i in range(4):
        session.act("label", i, [0, 1], to="car")
        session.act("label", i, [2], to="road")
    out = export(session).out
    (folder / "images").rename(out / "images")
    source = open_source("folder", out)
    found = check(source, 1)
    assert source.classes == ("road", "car") and len(source.items) == 4 and not found.problems


def test_class_files_name_ids_and_colors_and_keep_words_that_yaml_would_change(session):
    out = export(session).out
    found = json.loads((out / "classes.json").read_text(encoding="utf-8"))
    color = session.board.named.palette()[1].tolist()
    assert found["classes"][1] == {"id": 1, "name": "car", "color": color} and found["void"]["id"] == 255
    palette = np.array(Image.open(out / "masks/a.png").getpalette()).reshape(-1, 3)
    assert palette[1].tolist() == color and palette[255].tolist() == [255, 255, 255]
    text = exporting.class_files(("no", "1", "Käfer: groß"), class_palette(3))["classes.yaml"]
    assert yaml.safe_load(text)["classes"] == ["no", "1", "Käfer: groß"]


@pytest.mark.parametrize("name, folder_of_png", [("coco", "masks"), ("coco_labels", "labels")])
def test_coco_regions_are_the_masks_and_the_labels_pixel_by_pixel(session, name, folder_of_png):
    a = picture_of(session, "a")
    session.act("label", a, [1, 5], to="car")
    session.act("label", a, [0], to="road")
    session.act("label", a, [2], to="void")
    trained(session, ROAD)
    out = export(session).out
    coco = COCO(out / f"{name}.json")
    (image,) = (i for i in coco.dataset["images"] if i["file_name"] == "a.png")
    regions = coco.loadAnns(coco.getAnnIds(image["id"]))
    categories = coco.loadCats([region["category_id"] for region in regions])
    assert [category["name"] for category in categories] == ["road", "car"]
    assert all(thing["id"] > 0 for thing in categories + regions)  # datumaro and CVAT take category 0 for "no class"
    labels = pixels(out / folder_of_png / "a.png")
    for region, category in zip(regions, categories, strict=True):
        mask = labels == category["class_id"]
        assert (coco.annToMask(region).astype(bool) == mask).all() and region["area"] == mask.sum()
    assert regions[1]["bbox"] == [20, 0, 40, 40]  # squares 1 (above, middle) and 5 (below, right)
    assert regions[0]["area"] == 400 * (3 if name == "coco" else 1)  # squares 3 and 4 are predicted


def test_every_act_is_a_row_and_what_was_undone_says_so(session):
    a = picture_of(session, "a")
    session.act("label", a, [0, 3], to="car", how="drag", seconds=1.5)
    session.act("label", a, [1], to="road")
    session.act("undo")
    session.act("label", a, [0], to="")
    session.act("split", a, [2])
    out = export(session).out
    rows = list(csv.DictReader((out / "clicks.csv").open(encoding="utf-8")))
    assert [(r["act"], r["superpixels"], r["class"], r["undone"]) for r in rows] == [
        ("label", "0 3", "car", "0"),
        ("label", "1", "road", "1"),
        ("clear", "0", "", "0"),
        ("split", "2", "", "0"),
    ]
    assert (rows[0]["annotator"], rows[0]["picture"], rows[0]["how"], rows[0]["seconds"]) == ("me", "a", "drag", "1.5")


def test_a_second_export_replaces_the_first_and_nothing_else(session, folder):
    out = export(session).out
    (out / "masks" / "mine.txt").write_text("a note")
    (folder / "images" / "a.png").unlink()
    done = export(read_session(folder))
    assert done.pictures == 3 and done.out == out
    assert not (out / "masks/a.png").exists() and not (out / "overlays/a.jpg").exists()
    assert (out / "masks" / "mine.txt").read_text() == "a note"


def test_a_killed_export_leaves_whole_files_only_and_the_next_one_replaces_them(session, monkeypatch):
    def killed(path, data, write=atomic.write_bytes):
        if path.name == "b.png":
            raise KeyboardInterrupt
        write(path, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(atomic, "write_bytes", killed)
        export(session)
    out = session.work / "export" / "me"
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == ["a.jpg", "a.png", "a.png", "export.json"]
    assert export(session).pictures == 4


def test_an_export_writes_over_no_file_of_somebody_else(session, folder, tmp_path):
    own = tmp_path / "own" / "masks" / "a.png"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"drawn by hand")
    with pytest.raises(ValueError, match=r"a\.png exists already, and no export wrote it; move it away"):
        export(session, tmp_path / "own")
    assert own.read_bytes() == b"drawn by hand" and len(list(own.parent.parent.rglob("*"))) == 2
    with pytest.raises(ValueError, match="lies among the pictures"):
        export(session, folder / "images" / "out")
    other = open_session(folder, annotator="ana", **SIX)
    export(session, tmp_path / "mine")
    with pytest.raises(ValueError, match="holds the export of me, which the export of ana would replace"):
        export(other, tmp_path / "mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file, but an export is a folder"):
        export(session, tmp_path / "file")


def test_labeled_superpixels_are_half_in_their_color_and_outlined_and_the_rest_is_as_it_was():
    image = np.full((2, 4, 3), 100, np.uint8)
    ids = np.array([[0, 0, 1, 2], [0, 0, 1, 2]])
    codes = np.array([[0, 0, 254, 254]] * 2, np.uint8)
    mask = np.where(codes == 254, 255, codes).astype(np.uint8)
    shown = blend(image, mask, codes, ids, class_palette(1))
    assert shown[0, 0].tolist() == [(100 + c) // 2 for c in (0x44, 0x77, 0xAA)]
    assert shown[0, 1].tolist() == [(100 + c) // 2 // 4 for c in (0x44, 0x77, 0xAA)]  # its right border
    assert (shown[:, 2:] == 100).all()  # two unlabeled neighbors have no line between them


def test_the_model_of_an_export_predicts_what_the_session_would_show(session, folder, tmp_path):
    trained(session, CAR)
    model = export(session).out / "model"
    about = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert (about["classes"], about["side"], about["working_side"], about["round"]) == (["road", "car"], 32, 60, 2)
    assert (
        about["colors"] == session.board.named.palette().tolist() != class_palette(2).tolist()
    )  # those of the page, not the usual ones
    done = predict_folder(model, folder, tmp_path / "new", "cpu")
    assert done.pictures == 4 and not done.problems
    c = session.pictures[picture_of(session, "c")]
    net = training.load_network(RunConfig.make(about["config"]), 2, model / "weights.safetensors", "cpu")
    p = training.look(net, c.image(), 32, c.size)
    mask = pixels(tmp_path / "new/masks/c.png")
    small = p.argmax(dim=0).numpy().astype(np.uint8)
    assert set(np.unique(small)) == {ROAD, CAR} and (mask == nearest(small, (90, 60))).all()
    unsure = pixels(tmp_path / "new/uncertainty/c.png")
    top = p.sort(dim=0).values.numpy()
    assert unsure.shape == (60, 40) and np.abs(unsure - 255 * top[0] / top[1]).max() <= 0.51
    assert read_mask(tmp_path / "new/masks/süd west/Käfer 1.png", 2).shape == (40, 60)


def reader():
    """The program in the README of an export."""
    return exporting.README.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]


def test_the_readme_names_every_file_and_its_ten_lines_read_the_network(session, monkeypatch):
    session.act("label", 0, [0], to="car")
    trained(session, CAR)
    out = export(session).out
    written = {name.partition("/")[0] for name in checked.read(out / "export.json", "")["files"]} - {"README.md"}
    text = (out / "README.md").read_text(encoding="utf-8")
    assert {"masks", "labels", "coco.json"} < written and all(f"`{name}" in text for name in written)
    image = np.random.default_rng(1).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(image).save(out / "photo.jpg", "PNG")
    monkeypatch.chdir(out)
    exec(reader(), {})
    about = json.loads((out / "model/model.json").read_text(encoding="utf-8"))
    net = training.load_network(RunConfig.make(about["config"]), 2, out / "model/weights.safetensors", "cpu")
    p = training.look(net, image, about["side"], (24, 32)).numpy()
    sure = np.abs(p[0] - p[1]) > 1e-4
    assert set(np.unique(pixels(out / "mask.png"))) == {ROAD, CAR} and sure.mean() > 0.9
    assert (pixels(out / "mask.png") == p.argmax(axis=0))[sure].all() and len(reader().strip().splitlines()) <= 11


def test_a_network_that_torch_cannot_export_costs_one_file(session, monkeypatch):
    def refused(*given, **how):
        raise torch.onnx.OnnxExporterError("no such operator\nand so on")

    trained(session, CAR)
    monkeypatch.setattr(torch.onnx, "export", refused)
    done = export(session)
    assert (done.out / "model/weights.safetensors").exists() and not (done.out / "model/model.onnx").exists()
    assert done.problems == ("model.onnx is left out: torch cannot export this network (no such operator)",) and done.pictures == 4


def test_what_is_black_or_passed_over_is_told_when_new_pictures_are_predicted(session, tmp_path):
    trained(session, CAR)
    model, said = export(session).out / "model", []
    (tmp_path / "taken").mkdir()
    for name, value in (("a.jfif", 90), ("b.PJPEG", 9)):
        Image.fromarray(np.full((40, 60, 3), value, np.uint8)).save(tmp_path / "taken" / name, "JPEG")
    (tmp_path / "taken" / "notes.txt").write_text("no picture")
    with lines_to(said.append):
        assert predict_folder(model, tmp_path / "taken", tmp_path / "new", "cpu").pictures == 2
    assert "the brightest value of 1 images is 9 of 255" in said[0] and "are passed over: notes.txt" in said[1]


def test_a_new_picture_that_cannot_be_read_is_named_and_the_others_go_on(session, folder, tmp_path):
    trained(session, CAR)
    model = export(session).out / "model"
    (folder / "images" / "b.jpg").write_bytes(b"no picture")
    done = predict_folder(model, folder, tmp_path / "new", "cpu")
    assert done.pictures == 3 and len(done.problems) == 1 and "b.jpg" in done.problems[0]
    assert not (tmp_path / "new/masks/b.png").exists()


def test_a_model_that_is_none_is_refused_with_what_to_do(session, folder, tmp_path):
    with pytest.raises(ValueError, match=r"holds no model\.json; name the folder model/ of an export made after a training"):
        predict_folder(tmp_path, folder, tmp_path / "new")
    trained(session, CAR)
    model = export(session).out / "model"
    (model / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"take the weights and the model\.json of one round"):
        predict_folder(model, folder, tmp_path / "new", "cpu")
