from django.core.management.base import BaseCommand, CommandError

from shop.models import Tea


class Command(BaseCommand):
    help = "Sells the last leaf of each of these teas"

    def add_arguments(self, parser):
        parser.add_argument("ids", nargs="+", type=int)

    def handle(self, *args, **options):
        for number in options["ids"]:
            try:
                tea = Tea.objects.get(pk=number)
            except Tea.DoesNotExist:
                raise CommandError('There is no tea "%s"' % number)

            tea.stock = 0
            tea.save()

            self.stdout.write(self.style.SUCCESS('Sold out of "%s"' % tea.name))
