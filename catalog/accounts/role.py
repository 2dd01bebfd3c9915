"""What a person may see: everything of the group, the catalogue, all books, or the accounts that they belong to."""

from typing import Literal, get_args

from catalog.vocabulary.problem import Text

Role = Literal["operator", "product_owner", "finance", "member"]
ROLES: tuple[Role, ...] = get_args(Role)
NAMES: dict[Role, Text] = {
    "operator": Text("Operator", "运营人员"),
    "product_owner": Text("Product owner", "产品负责人"),
    "finance": Text("Finance", "财务"),
    "member": Text("Account member", "账户成员"),
}


def sees_every_account(role: Role) -> bool:
    """Whether a role reads the usage and documents of all accounts; the others read those that they belong to."""
    return role in ("operator", "finance")
